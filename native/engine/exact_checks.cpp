// What makes an exact fast convolution exact, decided anew for every plan: never a wrong sum.
#include <algorithm>
#include <cstdlib>

#include "base/check.h"
#include "engine/checks.h"
#include "kernels/exact.h"

namespace tilewise::checks {
namespace {

using IntMatrix = TensorView<const std::int32_t, 2>;

exact::Matrix entries(const IntMatrix& matrix) {
  return {matrix.data, static_cast<std::size_t>(element_count(matrix.shape))};
}

void factors(const std::string& name, const char* what, const IntMatrix& matrix) {
  for (const std::int32_t factor : entries(matrix)) {
    range(name, what, factor, -exact::kMostFactor, exact::kMostFactor);
  }
}

exact::Sizes matrices(const std::string& name, const ExactSpec& spec) {
  const exact::Sizes sizes{.m = spec.at.shape[0], .r = spec.g.shape[1], .n = spec.g.shape[0]};
  range(name, "the number of rows of g", sizes.n, 1, kMaxTransform);
  range(name, "the number of rows of at", sizes.m, 1, kMaxTransform);
  range(name, "the number of columns of g", sizes.r, 1, kMaxTransform);
  range(name, "the inputs of a tile, m + r - 1,", sizes.t(), 1, kMaxTransform);
  equal(name, "the number of columns of at", spec.at.shape[1], sizes.n, "the rows of g");
  equal(name, "the number of rows of bt", spec.bt.shape[0], sizes.n, "the rows of g");
  equal(name, "the number of columns of bt", spec.bt.shape[1], sizes.t(), "m + r - 1");
  factors(name, "an entry of at", spec.at);
  factors(name, "an entry of g", spec.g);
  factors(name, "an entry of bt", spec.bt);
  return sizes;
}

// Sums of an output channel stay below 2^(31 - shift), whatever the bytes are.
void sums(const std::string& name, const TensorView<const std::int8_t, 4>& weight, std::int64_t largest_q,
          int shift) {
  const std::int64_t row = weight.shape[1] * weight.shape[2] * weight.shape[3];
  const std::int64_t most = shift > 30 ? 0 : ((std::int64_t{1} << (31 - shift)) - 1) / largest_q;
  for (std::int64_t k = 0; k < weight.shape[0]; ++k) {
    std::int64_t sum = 0;
    for (std::int64_t i = 0; i < row; ++i) sum += std::abs(std::int64_t{weight.data[k * row + i]});
    if (sum > most) {
      refuse(name, ": the absolute weights of output channel ", k, " sum to ", sum, ", must be at most ",
             most, " for sums below 2^", 31 - shift, ", which this algorithm is exact for");
    }
  }
}

}  // namespace

void integers(const std::string& name, const IntegerSpec& spec, const TensorSpec& x, const TensorSpec& y) {
  if (x.dtype != Dtype::kUint8) refuse(name, ": x must be uint8, as the weights are int8");
  algorithm_name(name, spec.algorithm);
  const Shape<4>& shape = spec.weight.shape;
  const std::int64_t r = shape[1];
  equal(name, "the number of output channels of weight", shape[0], y.channels, "the channels of y");
  equal(name, "the width of weight", shape[2], r, "its height");
  equal(name, "the number of input channels of weight", shape[3], x.channels, "the channels of x");
  range(name, "the padding above", spec.pad_top, 0, kMaxExtent);
  range(name, "the padding to the left", spec.pad_left, 0, kMaxExtent);
  equal(name, "the height of y", y.height, x.height + 2 * spec.pad_top - r + 1,
        "that of x with the padding, less the kernel's, plus 1");
  equal(name, "the width of y", y.width, x.width + 2 * spec.pad_left - r + 1,
        "that of x with the padding, less the kernel's, plus 1");
  vector(name, "scale", spec.scale, y.channels);
  vector(name, "bias", spec.bias, y.channels);
  activation(name, spec.activation);
  range(name, "block", spec.block, 0, kMaxBlock);
}

void exact(const std::string& name, const ExactSpec& spec, const TensorSpec& x, const TensorSpec& y) {
  const exact::Sizes sizes = matrices(name, spec);
  equal(name, "the height of weight", spec.weight.shape[1], sizes.r, "the columns of g");
  integers(name, spec, x, y);

  const auto denominator = exact::denominator(sizes, entries(spec.at), entries(spec.g), entries(spec.bt));
  if (!denominator) refuse(name, ": at, g and bt must be a convolution times a positive integer");
  range(name, "the largest value of B^T q B",
        exact::largest_v(sizes, entries(spec.bt), -x.grid.zero, 255 - x.grid.zero), 0, exact::kMostShort);
  const auto weights =
      std::span(spec.weight.data, static_cast<std::size_t>(element_count(spec.weight.shape)));
  for (const std::int64_t u : exact::transform_weights(sizes, entries(spec.g), weights, x.channels)) {
    range(name, "a value of G w G^T", u, -exact::kMostShort, exact::kMostShort);
  }
  sums(name, spec.weight, std::max(x.grid.zero, 255 - x.grid.zero), exact::division(*denominator).shift);
}

}  // namespace tilewise::checks
