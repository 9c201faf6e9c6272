#pragma once

#include <cstdint>
#include <vector>

#include "kernels/tensor.h"

namespace tilewise {

// Puts pixels and channels elsewhere, part by part: y[i, j, first + c] = x[rows[i], cols[j], c] for c below x's
// channels, zero where rows[i] or cols[j] is -1. Channels that no part writes are zero. Parts are in the order of
// their channels, which do not overlap.
struct Gather {
  struct Part {
    const TensorRef* x;
    std::int64_t first;
    std::vector<std::int64_t> rows, cols;  // one per row, column of y
  };
  const TensorRef* y;
  std::vector<Part> parts;
};

}  // namespace tilewise
