#pragma once

#include <cstddef>

#include "kernels/tensor.h"

namespace tilewise {

// A tensor into the caller's array: as real numbers, or as what is stored.
struct NetworkOutput {
  const TensorRef* x;
  std::size_t port = 0;
};

}  // namespace tilewise
