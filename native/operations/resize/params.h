#pragma once

#include <cstdint>
#include <vector>

#include "kernels/tensor.h"

namespace tilewise {

// Bilinear interpolation: y = (1-fr)*((1-fc)*x00 + fc*x01) + fr*(...), positions and weights filled in by the
// caller.
struct Resize {
  struct Tap {
    std::int64_t low, high;
    float weight;  // of high
  };
  const TensorRef* x;
  const TensorRef* y;
  std::vector<Tap> rows, cols;
};

}  // namespace tilewise
