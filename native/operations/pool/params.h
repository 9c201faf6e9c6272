#pragma once

#include <cstdint>
#include <vector>

#include "kernels/tensor.h"

namespace tilewise {

// Maximum or mean over windows; an output pixel's window is rows[i].begin .. rows[i].end, clipped to the
// image by whoever fills it in. The mean is the sum over the window, row by row, times the reciprocal of a number as
// a float: divisor, or where that is 0 the window's rows[i].counted * cols[j].counted (which may count padding). The
// sum of an integer tensor is exact in int32, and its real value is (float(sum) * step) * reciprocal.
struct Pool {
  struct Span {
    std::int64_t begin, end, counted;
  };
  const TensorRef* x;
  const TensorRef* y;
  bool maximum = true;
  std::vector<Span> rows, cols;  // one per output row, column; never empty
  std::int64_t divisor = 0;
};

}  // namespace tilewise
