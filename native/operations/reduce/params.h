#pragma once

#include <cstdint>

#include "kernels/convolution.h"

namespace tilewise {

enum class ReduceKind : std::uint8_t { sum, mean, maximum };
inline constexpr const char* kReductions[] = {"sum", "mean", "maximum"};

// y = epilogue(sum, mean or maximum of x's real numbers over all channels, or all pixels). A sum over channels has the
// order of ChannelSum; one over pixels adds each row from left to right, then the rows from top to bottom. A mean is the
// sum divided by the count as a float.
struct Reduce {
  const TensorRef* x;
  const TensorRef* y;
  ReduceKind kind = ReduceKind::sum;
  bool channels = true;
  Epilogue epilogue;  // bias may be empty
};

}  // namespace tilewise
