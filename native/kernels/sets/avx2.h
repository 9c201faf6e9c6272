// x86-64 with AVX2 and FMA.
#pragma once

#include "kernels/sets/bytes32.h"

namespace tilewise::TILEWISE_SET {

inline constexpr int kPanelVectors = 2, kByteRows = 4, kFloatRows = 6;  // 16 registers; a split product takes four of them

[[gnu::always_inline]] inline I32 dot2(I32 sum, I32 a, I32 b) {
  return wrapping_sum(sum, reinterpret_cast<I32>(_mm256_madd_epi16(reinterpret_cast<__m256i>(a),
                                                                 reinterpret_cast<__m256i>(b))));
}

}  // namespace tilewise::TILEWISE_SET

#include "kernels/dot4.h"
