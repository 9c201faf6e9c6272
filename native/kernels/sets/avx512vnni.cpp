// x86-64 with AVX-512 (F, BW, VL, DQ) and VNNI.
#define TILEWISE_SET avx512vnni
#include "kernels/sets/avx512vnni.h"
// Needs the operations above.
#include "kernels/sets/bodies.inc"

namespace tilewise {

extern const KernelSet kAvx512vnni;
const KernelSet kAvx512vnni = {
    "avx512vnni",
    "AVX-512 with VNNI: 64 bytes at once, four int8 products per lane and instruction",
    [] {
      return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
             __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512dq") &&
             __builtin_cpu_supports("avx512vnni") && __builtin_cpu_supports("fma");
    },
    avx512vnni::measure_peaks,
    avx512vnni::kTraining,
#define TILEWISE_KERNEL(name, Params) avx512vnni::make_##name,
#include "kernels/kernels.inc"
#undef TILEWISE_KERNEL
};

}  // namespace tilewise
