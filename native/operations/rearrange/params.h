#pragma once

#include <cstdint>
#include <vector>

#include "kernels/tensor.h"

namespace tilewise {

// y[i, j, c] is the number that lies rows[i] + cols[j] + channels[c] elements after an image's first one in x; same
// dtype and grid.
struct Rearrange {
  const TensorRef* x;
  const TensorRef* y;
  std::vector<std::int64_t> rows, cols, channels;
};

}  // namespace tilewise
