// The bf16 convolutions of avx512vnni for machines with AVX512_BF16, the only code built with those instructions.
#define TILEWISE_SET avx512bf16
#define TILEWISE_SET_HEADER "kernels/sets/vnni64.h"
#include "kernels/sets/sets.h"
#include "operations/direct/body.h"
#include "operations/fast/body.h"

namespace tilewise {
namespace avx512bf16 {

// Two products per lane; numbers below 2^-126 count as zero.
struct PairedBf16Dot : Bf16Dot {
  static constexpr int kRows = kFloatRows;
  [[gnu::always_inline]] static Vector mac(Vector sum, Vector a, Vector b) {
    return _mm512_dpbf16_ps(sum, reinterpret_cast<__m512bh>(a), reinterpret_cast<__m512bh>(b));
  }
};

}  // namespace avx512bf16

extern const Bf16Kernels kAvx512bf16;
const Bf16Kernels kAvx512bf16 = {
    [] { return static_cast<bool>(__builtin_cpu_supports("avx512bf16")); },
    avx512bf16::make_direct_bf16_with<avx512bf16::PairedBf16Dot>,
    avx512bf16::make_fast_bf16_with<avx512bf16::PairedBf16Dot>,
};

}  // namespace tilewise
