#pragma once

#include <vector>

#include "kernels/convolution.h"

namespace tilewise {

// y = epilogue(x * scale[c]) with x as a real number; without scale x itself.
struct Eltwise {
  const TensorRef* x;
  const TensorRef* y;
  std::vector<float> scale;  // [C] or empty
  Epilogue epilogue;         // bias may be empty
};

}  // namespace tilewise
