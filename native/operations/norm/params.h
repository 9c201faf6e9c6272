#pragma once

#include <cstdint>
#include <vector>

#include "kernels/convolution.h"

namespace tilewise {

// y = epilogue(((x - mean) * (1 / sqrt(variance + eps))) * scale[c]) of real numbers. Mean and variance are those of all
// channels of a pixel (groups 0; sums have the order of ChannelSum), or of a group of channels over all pixels: for each
// channel rows are added from left to right, then the rows from top to bottom, then the group's channels, ascending. The
// variance is the mean of (x - mean)^2, a mean the sum divided by the count as a float.
struct Norm {
  const TensorRef* x;
  const TensorRef* y;
  std::int64_t groups = 0;
  float eps = 0;
  std::vector<float> scale;  // [C] or empty
  Epilogue epilogue;         // bias may be empty
};

}  // namespace tilewise
