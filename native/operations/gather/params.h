#pragma once

#include <cstdint>
#include <vector>

#include "kernels/tensor.h"

namespace tilewise {

// Puts pixels and channels elsewhere, part by part, each of which has a block of y: rows, columns and channels from
// `row`, `col` and `first` on, as many as it has numbers for. y[row + i, col + j, first + c] = x[rows[i], cols[j],
// channels[c]], zero where rows[i] or cols[j] is -1. Without `channels` they are `count` of x from `from` on, in order; 0:
// all. Blocks do not overlap, pixels have a part each, channels that no part writes are zero.
struct Gather {
  struct Part {
    const TensorRef* x;
    std::int64_t first;
    std::vector<std::int64_t> rows, cols, channels = {};
    std::int64_t row = 0, col = 0, from = 0, count = 0;

    std::int64_t width() const {
      if (!channels.empty()) return static_cast<std::int64_t>(channels.size());
      return count == 0 ? x->channels : count;
    }
  };
  const TensorRef* y;
  std::vector<Part> parts;
};

}  // namespace tilewise
