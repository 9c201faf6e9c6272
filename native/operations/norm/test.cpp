#include <cmath>
#include <cstddef>
#include <functional>
#include <string>
#include <vector>

#include "tests/light_kernels.h"
#include "tests/refusals.h"

namespace tilewise::testing {
namespace {

using Value = std::function<float(std::int64_t row, std::int64_t col, std::int64_t channel)>;

// Of a pixel (0 groups), or of the group that holds channel c.
float mean(const Norm& norm, const Value& value, std::int64_t row, std::int64_t col, std::int64_t c) {
  const TensorRef& x = *norm.x;
  if (norm.groups == 0) {
    float sums[16] = {};
    for (std::int64_t k = 0; k < x.channels; ++k) sums[k % 16] += value(row, col, k);
    for (int half = 8; half > 0; half /= 2) {
      for (int l = 0; l < half; ++l) sums[l] += sums[l + half];
    }
    return sums[0] / static_cast<float>(x.channels);
  }
  const std::int64_t size = x.channels / norm.groups, first = c / size * size;
  float sum = 0;
  for (std::int64_t k = first; k < first + size; ++k) {
    float total = 0;
    for (std::int64_t i = 0; i < x.height; ++i) {
      float one = 0;
      for (std::int64_t j = 0; j < x.width; ++j) one += value(i, j, k);
      total += one;
    }
    sum += total;
  }
  return sum / static_cast<float>(size * x.pixels());
}

float formula(const Norm& norm, const Place& p) {
  const Value value = [&](std::int64_t row, std::int64_t col, std::int64_t c) { return real(*norm.x, {p.image, row, col, c}); };
  const float middle = mean(norm, value, p.row, p.col, p.channel);
  const Value square = [&](std::int64_t row, std::int64_t col, std::int64_t c) {
    return (value(row, col, c) - middle) * (value(row, col, c) - middle);
  };
  const float variance = mean(norm, square, p.row, p.col, p.channel);
  float y = (value(p.row, p.col, p.channel) - middle) * (1.0F / std::sqrt(variance + norm.eps));
  const auto c = static_cast<std::size_t>(p.channel);
  if (!norm.scale.empty()) y = y * norm.scale[c];
  return norm.epilogue.bias.empty() ? y : y + norm.epilogue.bias[c];
}

void test_kernels() {
  Random random(5);
  int turn = 0;
  for_formats(
      "norm",
      [&](int from, int to, std::int64_t channels, const std::string& text) {
        const auto [height, width] = kSizes[++turn % 2];
        for (const std::int64_t groups : {std::int64_t{0}, std::int64_t{1}, channels % 3 == 0 ? 3 : channels}) {
          const Memory x = filled(shaped(from, height, width, channels), random);
          Memory y(shaped(to, height, width, channels), kImages, 0xFF);
          Norm norm{.x = &x.tensor, .y = &y.tensor, .groups = groups, .eps = 1e-3F, .scale = {}, .epilogue = {}};
          if (turn % 2 == 1) norm.scale = norm.epilogue.bias = floats(static_cast<std::size_t>(channels), 1, random);
          for_sets([&](const KernelSet& set, const std::string& by) {
            const auto op = set.norm(norm);
            AlignedVector<std::byte> scratch(op->scratch_bytes() + kSlack, std::byte{0xFF});
            op->run({.images = kImages}, 0, op->tasks({.images = kImages}), scratch.data(), nullptr);
            check_output(y, [&](const Place& p) { return formula(norm, p); }, text + " by " + by);
          });
        }
      },
      true);
}

Draft network() {
  NetworkBuilder b(1);
  const std::int64_t x = b.draft.bytes(4), y = b.draft.floats(4);
  b.input("x", x);
  b.norm("norm", x, y, 2);
  b.output("y", y);
  return std::move(b.draft);
}

void test_refusals() {
  const Draft valid = network();
  check_size(valid, {{5, 7}}, {5, 7});
  refused(valid, "norm: groups is 3, must divide the 4 channels", [](Draft& d) { d("norm", "groups") = json(3); });
  refused(valid, "norm: eps is -1, must be 0 or above", [](Draft& d) { d("norm", "eps") = json(-1); });
  refused(valid, "norm: the length of scale is 1, must be 4, the channels of y",
          [](Draft& d) { d.array("norm", "scale") = values_of(std::vector<float>{1}); });
}

}  // namespace

void test_norm() {
  test_kernels();
  test_refusals();
}

}  // namespace tilewise::testing
