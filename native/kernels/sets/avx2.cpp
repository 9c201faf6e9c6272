// x86-64 with AVX2 and FMA.
#define TILEWISE_SET avx2
#define TILEWISE_SET_HEADER "kernels/sets/avx2.h"
#include "generated/bodies.inc"
#include "kernels/peak.h"
#include "kernels/training/kernels.h"

namespace tilewise {

extern const KernelSet kAvx2;
const KernelSet kAvx2 = {
    "avx2",
    "AVX2 with FMA: 32 bytes at once, int8 products as pairs of int16",
    [] { return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma"); },
    avx2::measure_peaks,
    avx2::kTraining,
#define TILEWISE_KERNEL(name, Params) avx2::make_##name,
#include "generated/kernels.inc"
#undef TILEWISE_KERNEL
};

}  // namespace tilewise
