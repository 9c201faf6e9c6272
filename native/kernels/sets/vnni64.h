// What the sets with VNNI share.
#pragma once

#include "kernels/sets/bytes64.h"

namespace tilewise::TILEWISE_SET {

inline constexpr int kPanelVectors = 4, kByteRows = 6, kFloatRows = 6;  // 32 registers
inline constexpr bool kSignedRows = false;

[[gnu::always_inline]] inline I32 dot4(I32 sum, I32 a, I32 b) {
  return reinterpret_cast<I32>(_mm512_dpbusd_epi32(
      reinterpret_cast<__m512i>(sum), reinterpret_cast<__m512i>(a), reinterpret_cast<__m512i>(b)));
}
[[gnu::always_inline]] inline I32 dot2(I32 sum, I32 a, I32 b) {
  return reinterpret_cast<I32>(_mm512_dpwssd_epi32(
      reinterpret_cast<__m512i>(sum), reinterpret_cast<__m512i>(a), reinterpret_cast<__m512i>(b)));
}

}  // namespace tilewise::TILEWISE_SET
