// The bf16 convolutions of avx512vnni for machines with AVX512_BF16, the only code built with those
// instructions.
#define TILEWISE_SET avx512bf16
#include "kernels/sets/avx512.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <memory>
#include <numeric>
#include <vector>

#include "kernels/op.h"

#include "kernels/bodies/doubles.h"
#include "kernels/bodies/words.h"
#include "kernels/bodies/epilogue.h"
#include "kernels/bodies/dot.h"
#include "kernels/bodies/transform.h"
#include "kernels/bodies/algorithms.h"
#include "kernels/bodies/elements.h"
#include "kernels/bodies/direct.h"
#include "kernels/bodies/fast.h"
#include "kernels/bodies/sixteen.h"

namespace tilewise::avx512bf16 {

// Two products per lane; numbers below 2^-126 count as zero.
struct PairedBf16Dot : Bf16Dot {
  [[gnu::always_inline]] static Vector mac(Vector sum, Vector a, Vector b) {
    return _mm512_dpbf16_ps(sum, reinterpret_cast<__m512bh>(a), reinterpret_cast<__m512bh>(b));
  }
};

std::unique_ptr<Op> make_direct_bf16_kernel(const DirectConv& conv) {
  return make_direct_bf16_with<PairedBf16Dot>(conv);
}
std::unique_ptr<Op> make_fast_bf16_kernel(const FastConv& conv) {
  return make_fast_bf16_with<PairedBf16Dot>(conv);
}

}  // namespace tilewise::avx512bf16
