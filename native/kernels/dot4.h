// The product of bytes from products of int16, for sets without an instruction for it.
//
// Adding up two products of bytes in 16 bits would saturate (255 * 127 * 2 > 2^15), so even and odd bytes are
// widened and multiplied apart. What is done to b does not depend on the row: the compiler does it once per
// load.
#pragma once

#include "kernels/vectors.h"

namespace tilewise::TILEWISE_SET {

inline constexpr bool kSignedRows = false;

[[gnu::always_inline]] inline I32 dot4(I32 sum, I32 a, I32 b) {
  const auto bytes = reinterpret_cast<U16>(a);
  const auto factors = reinterpret_cast<I16>(b);
  sum = dot2(sum, reinterpret_cast<I32>(bytes & 0xFF), reinterpret_cast<I32>((factors << 8) >> 8));
  return dot2(sum, reinterpret_cast<I32>(bytes >> 8), reinterpret_cast<I32>(factors >> 8));
}

}  // namespace tilewise::TILEWISE_SET
