// x86-64 with AVX2 and FMA.
#define TILEWISE_SET avx2
#include "kernels/sets/avx2.h"

namespace tilewise::TILEWISE_SET {

inline constexpr int kPanelVectors = 2, kByteRows = 4, kFloatRows = 6;  // 16 registers; a split product takes four of them

[[gnu::always_inline]] inline I32 dot2(I32 sum, I32 a, I32 b) {
  return wrapping_sum(sum, reinterpret_cast<I32>(_mm256_madd_epi16(reinterpret_cast<__m256i>(a),
                                                                 reinterpret_cast<__m256i>(b))));
}

}  // namespace tilewise::TILEWISE_SET

#include "kernels/bodies/dot4.h"
#include "kernels/sets/bodies.inc"

namespace tilewise {

extern const KernelSet kAvx2;
const KernelSet kAvx2 = {
    "avx2",
    "AVX2 with FMA: 32 bytes at once, int8 products as pairs of int16",
    [] { return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma"); },
    avx2::measure_peaks,
    avx2::kTraining,
#define TILEWISE_KERNEL(name, Params) avx2::make_##name,
#include "kernels/kernels.inc"
#undef TILEWISE_KERNEL
};

}  // namespace tilewise
