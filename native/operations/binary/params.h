#pragma once

#include <cstdint>

#include "kernels/convolution.h"

namespace tilewise {

enum class Binary : std::uint8_t { add, subtract, multiply, divide, minimum, maximum };
inline constexpr const char* kBinaries[] = {"add", "subtract", "multiply", "divide", "minimum", "maximum"};

// y = epilogue(a kind b) of real numbers. Height, width and channels of a and b are those of y or 1: what has 1 serves all.
struct BinaryOf {
  const TensorRef* a;
  const TensorRef* b;
  const TensorRef* y;
  Binary kind = Binary::add;
  Epilogue epilogue;  // bias may be empty
};

}  // namespace tilewise
