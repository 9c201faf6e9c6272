#pragma once

#include <cstdint>
#include <vector>

#include "operations/direct/params.h"
#include "operations/wrapping/arithmetic.h"

namespace tilewise {

// A direct convolution of bytes by int8 weights, with the same sums, by a fast algorithm modulo 2^32
// (arithmetic.h): stride and dilation 1, an r x r window, V and U within int16, |sum| < 2^(31 - shift).
struct WrappingConv : DirectConv {
  wrapping::Sizes sizes;
  std::vector<std::int32_t> at, g, bt;
  std::int64_t block = 0;  // as FastConv's
};

}  // namespace tilewise
