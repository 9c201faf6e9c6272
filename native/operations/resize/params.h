#pragma once

#include <cstdint>
#include <vector>

#include "kernels/tensor.h"

namespace tilewise {

// Interpolation; pixels and weights are filled in by the caller. Of two pixels along each axis (rows, cols):
// y = (1-fr)*((1-fc)*x00 + fc*x01) + fr*(...); or of four (cubic_rows, cubic_cols): the sum over rows, from the first to
// the last, of each row's weight times its own such sum over columns.
struct Resize {
  struct Tap {
    std::int64_t low, high;
    float weight;  // of high
  };
  struct Cubic {
    std::int64_t pixels[4];
    float weights[4];
  };
  const TensorRef* x;
  const TensorRef* y;
  std::vector<Tap> rows, cols;
  std::vector<Cubic> cubic_rows = {}, cubic_cols = {};
};

}  // namespace tilewise
