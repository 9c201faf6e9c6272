// Vectors of 16-bit numbers as the tensors hold them.
#pragma once

#include <cstdint>

#include "kernels/this_set.h"

namespace tilewise::TILEWISE_SET {

using Words [[gnu::vector_size(kBytes / 2)]] = std::int16_t;  // kLanes of them

[[gnu::always_inline]] inline Words narrow_to_words(I32 v) { return __builtin_convertvector(v, Words); }

// The upper halves of floats, rounded to nearest even; NaN stays NaN.
[[gnu::always_inline]] inline Words to_bf16(F32 v) {
  const auto bits = reinterpret_cast<I32>(v);
  const I32 rounded = (bits + 0x7FFF + ((bits >> 16) & 1)) >> 16;
  return narrow_to_words(v == v ? rounded : I32{} + 0x7FC0);
}

}  // namespace tilewise::TILEWISE_SET
