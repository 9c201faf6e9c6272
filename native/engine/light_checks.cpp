// What the operations between convolutions are checked for.
#include <algorithm>

#include "base/check.h"
#include "engine/checks.h"

namespace tilewise::checks {
namespace {

void same_channels(const std::string& name, const TensorSpec& x, const TensorSpec& y) {
  equal(name, "the number of channels of y", y.channels, x.channels, "the channels of x");
}

void same_size(const std::string& name, const TensorSpec& x, const TensorSpec& y) {
  same_channels(name, x, y);
  equal(name, "the height of y", y.height, x.height, "the height of x");
  equal(name, "the width of y", y.width, x.width, "the width of x");
}

// Pairs [count, 2] of positions, each 0..limit, the first one below (or, not strict, at most) the second.
void pairs(const std::string& name, const char* what, const SpanList& list, std::int64_t count,
           std::int64_t limit, bool strict) {
  equal(name, (std::string("the length of ") + what).c_str(), list.shape[0], count, "the extent of y");
  equal(name, (std::string("the number of columns of ") + what).c_str(), list.shape[1], 2, "for a pair each");
  for (std::int64_t i = 0; i < count; ++i) {
    const std::int64_t first = list(i, 0), second = list(i, 1);
    if (first < 0 || second > limit || (strict ? first >= second : first > second)) {
      refuse(name, ": ", what, "[", i, "] is ", first, ", ", second, ", must be in order",
             strict ? ", not empty," : "", " and within 0..", limit);
    }
  }
}

std::int64_t longest(const SpanList& list) {
  std::int64_t result = 0;
  for (std::int64_t i = 0; i < list.shape[0]; ++i) result = std::max(result, list(i, 1) - list(i, 0));
  return result;
}

void indices(const std::string& name, const char* what, const IndexVector& list, std::int64_t count,
             std::int64_t extent) {
  equal(name, (std::string("the length of ") + what).c_str(), list.shape[0], count, "the extent of y");
  for (std::int64_t i = 0; i < count; ++i) range(name, what, list(i), -1, extent - 1);
}

void weights(const std::string& name, const char* what, const FloatVector& list, std::int64_t count) {
  equal(name, (std::string("the length of ") + what).c_str(), list.shape[0], count, "the extent of y");
  for (std::int64_t i = 0; i < count; ++i) {
    if (!(list(i) >= 0 && list(i) <= 1)) refuse(name, ": ", what, "[", i, "] is ", list(i), ", must be 0..1");
  }
}

}  // namespace

void pool(const std::string& name, const PoolSpec& spec, const TensorSpec& x, const TensorSpec& y) {
  no_bf16(name, "x", x);
  no_bf16(name, "y", y);
  same_channels(name, x, y);
  pairs(name, "rows", spec.rows, y.height, x.height, true);
  pairs(name, "cols", spec.cols, y.width, x.width, true);
  range(name, "divisor", spec.divisor, 0, kMaxInt32);
  const std::int64_t window = longest(spec.rows) * longest(spec.cols);
  if (!spec.maximum && x.dtype != Dtype::kFloat32) {
    range(name, "the number of pixels of the largest window", window, 1, kMaxInt32 / largest_q(x));
  }
}

void eltwise(const std::string& name, const EltwiseSpec& spec, const TensorSpec& x, const TensorSpec& y) {
  no_bf16(name, "x", x);
  same_size(name, x, y);
  if (spec.scale) vector(name, "scale", *spec.scale, y.channels);
  if (spec.bias) vector(name, "bias", *spec.bias, y.channels);
  activation(name, spec.activation);
}

void gather(const std::string& name, const GatherSpec& spec, const TensorSpec& x, const TensorSpec& y) {
  no_bf16(name, "x", x);
  no_bf16(name, "y", y);
  indices(name, "rows", spec.rows, y.height, x.height);
  indices(name, "cols", spec.cols, y.width, x.width);
  range(name, "the number of channels of x", x.channels, 1, y.channels);
  range(name, "first", spec.first, 0, y.channels - x.channels);
}

void pixel_shuffle(const std::string& name, std::int64_t factor, const TensorSpec& x, const TensorSpec& y) {
  no_bf16(name, "x", x);
  range(name, "factor", factor, 1, kMaxFactor);
  equal(name, "the number of channels of x", x.channels, y.channels * factor * factor,
        "the channels of y times the factor squared");
  equal(name, "the height of y", y.height, x.height * factor, "the height of x times the factor");
  equal(name, "the width of y", y.width, x.width * factor, "the width of x times the factor");
  if (x.dtype != y.dtype || !(x.grid == y.grid)) refuse(name, ": y must have the type and the grid of x");
}

void resize(const std::string& name, const ResizeSpec& spec, const TensorSpec& x, const TensorSpec& y) {
  no_bf16(name, "x", x);
  no_bf16(name, "y", y);
  same_channels(name, x, y);
  pairs(name, "rows", spec.rows, y.height, x.height - 1, false);
  pairs(name, "cols", spec.cols, y.width, x.width - 1, false);
  weights(name, "row_weights", spec.row_weights, y.height);
  weights(name, "col_weights", spec.col_weights, y.width);
}

}  // namespace tilewise::checks
