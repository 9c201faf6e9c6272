// x86-64 with AVX-512 (F, BW, VL, DQ) but without VNNI.
#define TILEWISE_SET avx512
#define TILEWISE_SET_HEADER "kernels/sets/avx512.h"
#include "generated/bodies.inc"
#include "kernels/peak.h"
#include "kernels/training/kernels.h"

namespace tilewise {

extern const KernelSet kAvx512;
const KernelSet kAvx512 = {
    "avx512",
    "AVX-512: 64 bytes at once, int8 products as pairs of int16",
    [] {
      return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
             __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512dq") &&
             __builtin_cpu_supports("fma");
    },
    avx512::measure_peaks,
    avx512::kTraining,
#define TILEWISE_KERNEL(name, Params) avx512::make_##name,
#include "generated/kernels.inc"
#undef TILEWISE_KERNEL
};

}  // namespace tilewise
