// The output pixels of a convolution by which of their window's pixels lie in the image: rectangles of the
// output map.
#pragma once

#include <cstdint>
#include <vector>

#include "kernels/op.h"

namespace tilewise {

struct Region {
  std::int64_t first_row, rows, first_col, cols;
  std::int64_t first;  // how many pixels of the image come in regions before
  std::vector<std::int32_t>
      inside;  // segments (row of the window times its width plus column) within the image
  std::vector<std::int32_t> outside;  // the others

  std::int64_t pixels() const { return rows * cols; }
};

// Together they hold each pixel of y once.
std::vector<Region> regions(const Window& window, const TensorRef& x, const TensorRef& y);

}  // namespace tilewise
