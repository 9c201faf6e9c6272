// x86-64 with AVX-512 (F, BW, VL, DQ) and VNNI.
#define TILEWISE_SET avx512vnni
#define TILEWISE_SET_HEADER "kernels/sets/vnni64.h"
#include "generated/bodies.inc"
#include "kernels/peak.h"
#include "kernels/training/kernels.h"

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
#include "generated/kernels.inc"
#undef TILEWISE_KERNEL
};

}  // namespace tilewise
