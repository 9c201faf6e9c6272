#pragma once

#include <cstdint>

#include "kernels/tensor.h"

namespace tilewise {

// y[i, j, c] = x[i / f, j / f, c*f*f + (i % f)*f + j % f]; same dtype and grid.
struct PixelShuffle {
  const TensorRef* x;
  const TensorRef* y;
  std::int64_t factor = 2;
};

}  // namespace tilewise
