// x86-64 with AVX-512 (F, BW, VL, DQ) but without VNNI.
#pragma once

#include "kernels/sets/bytes64.h"

namespace tilewise::TILEWISE_SET {

inline constexpr int kPanelVectors = 4, kByteRows = 4, kFloatRows = 6;  // 32 registers; a split product takes ten of them

[[gnu::always_inline]] inline I32 dot2(I32 sum, I32 a, I32 b) {
  return wrapping_sum(sum, reinterpret_cast<I32>(_mm512_madd_epi16(reinterpret_cast<__m512i>(a),
                                                                 reinterpret_cast<__m512i>(b))));
}

}  // namespace tilewise::TILEWISE_SET

#include "kernels/dot4.h"
