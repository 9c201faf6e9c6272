#pragma once

#include <cstddef>
#include <vector>

#include "kernels/tensor.h"

namespace tilewise {

// The caller's array number `port` into a tensor: y = (v - mean[c]) / deviation[c], both rounded, of its numbers v,
// or v itself where the two are empty.
struct NetworkInput {
  const TensorRef* y;
  std::size_t port = 0;
  std::vector<float> mean, deviation;  // [C]
};

}  // namespace tilewise
