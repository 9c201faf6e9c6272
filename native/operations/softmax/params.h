#pragma once

#include "kernels/tensor.h"

namespace tilewise {

// y = e / (the sum of e) with e = exp(x - the largest x) of real numbers, over the channels of each pixel; the sum has the
// order of ChannelSum.
struct Softmax {
  const TensorRef* x;
  const TensorRef* y;
};

}  // namespace tilewise
