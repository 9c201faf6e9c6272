// x86-64 with AVX-512 (F, BW, VL, DQ) but without VNNI.
#define TILEWISE_SET avx512
#include "kernels/sets/avx512.h"

namespace tilewise::TILEWISE_SET {

inline constexpr int kPanelVectors = 4, kByteRows = 4, kFloatRows = 6;  // 32 registers; a split product takes ten of them

[[gnu::always_inline]] inline I32 dot2(I32 sum, I32 a, I32 b) {
  return wrapping_sum(sum, reinterpret_cast<I32>(_mm512_madd_epi16(reinterpret_cast<__m512i>(a),
                                                                 reinterpret_cast<__m512i>(b))));
}

}  // namespace tilewise::TILEWISE_SET

#include "kernels/bodies/dot4.h"
#include "kernels/sets/bodies.inc"

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
#include "kernels/kernels.inc"
#undef TILEWISE_KERNEL
};

}  // namespace tilewise
