// Any aarch64.
#pragma once

#include "kernels/sets/bytes16_arm.h"

namespace tilewise::TILEWISE_SET {

inline constexpr int kPanelVectors = 4, kByteRows = 4, kFloatRows = 6;  // 32 registers; a split product takes eleven of them
inline constexpr bool kSignedRows = false;

// A product of bytes fits 16 bits, a sum of two does not (255 * 127 * 2 > 2^15): each is added as 32 bits.
[[gnu::always_inline]] inline I32 dot4(I32 sum, I32 a, I32 b) {
  const auto bytes = reinterpret_cast<U16>(a);
  const auto factors = reinterpret_cast<I16>(b);
  const I16 even = reinterpret_cast<I16>(bytes & 0xFF) * ((factors << 8) >> 8);
  const I16 odd = reinterpret_cast<I16>(bytes >> 8) * (factors >> 8);
  const int32x4_t half =
      vpadalq_s16(reinterpret_cast<int32x4_t>(sum), reinterpret_cast<int16x8_t>(even));
  return reinterpret_cast<I32>(vpadalq_s16(half, reinterpret_cast<int16x8_t>(odd)));
}

}  // namespace tilewise::TILEWISE_SET
