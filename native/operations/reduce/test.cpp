#include <algorithm>
#include <string>

#include "tests/light_kernels.h"
#include "tests/refusals.h"

namespace tilewise::testing {
namespace {

float channel_sum(const TensorRef& x, Place p) {
  float sums[16] = {};
  for (p.channel = 0; p.channel < x.channels; ++p.channel) sums[p.channel % 16] += real(x, p);
  for (int half = 8; half > 0; half /= 2) {
    for (int l = 0; l < half; ++l) sums[l] += sums[l + half];
  }
  return sums[0];
}

float pixel_sum(const TensorRef& x, Place p) {
  float total = 0;
  for (p.row = 0; p.row < x.height; ++p.row) {
    float row = 0;
    for (p.col = 0; p.col < x.width; ++p.col) row += real(x, p);
    total += row;
  }
  return total;
}

float largest(const TensorRef& x, Place p, bool channels) {
  float result = real(x, channels ? Place{p.image, p.row, p.col, 0} : Place{p.image, 0, 0, p.channel});
  for (std::int64_t i = 0; channels && i < x.channels; ++i) result = std::max(result, real(x, {p.image, p.row, p.col, i}));
  for (std::int64_t i = 0; !channels && i < x.pixels(); ++i)
    result = std::max(result, real(x, {p.image, i / x.width, i % x.width, p.channel}));
  return result;
}

void test_kernels() {
  Random random(4);
  int turn = 0;
  for_formats(
      "reduce",
      [&](int from, int to, std::int64_t channels, const std::string& text) {
        for (const auto& [height, width] : kSizes) {
          for (const bool over_channels : {false, true}) {
            const auto kind = static_cast<ReduceKind>(++turn % 3);
            const Memory x = filled(shaped(from, height, width, channels), random);
            Memory y(over_channels ? shaped(to, height, width, 1) : shaped(to, 1, 1, channels), kImages, 0xFF);
            const Reduce reduce{.x = &x.tensor, .y = &y.tensor, .kind = kind, .channels = over_channels, .epilogue = {}};
            const auto formula = [&](const Place& p) {
              if (kind == ReduceKind::maximum) return largest(x.tensor, p, over_channels);
              const float sum = over_channels ? channel_sum(x.tensor, p) : pixel_sum(x.tensor, p);
              const auto count = static_cast<float>(over_channels ? channels : height * width);
              return kind == ReduceKind::mean ? sum / count : sum;
            };
            for_sets([&](const KernelSet& set, const std::string& by) {
              run(*set.reduce(reduce), {.images = kImages});
              check_output(y, formula, text + " by " + by);
            });
          }
        }
      },
      true);
}

Draft network(bool channels) {
  NetworkBuilder b(1);
  const std::int64_t x = b.draft.bytes(3), y = b.draft.floats(channels ? 1 : 3);
  b.input("x", x);
  b.reduce("sum", "sum", channels, x, y);
  b.output("y", y);
  return std::move(b.draft);
}

void test_sizes() {
  check_size(network(true), {{5, 7}}, {5, 7});
  check_size(network(false), {{5, 7}}, {1, 1});
}

void test_refusals() {
  refused(network(true), "sum: kind is product, must be sum, mean or maximum",
          [](Draft& d) { d("sum", "kind") = json("product"); });
  refused(network(true), "sum: the number of channels of y is 2, must be 1, what is over all channels",
          [](Draft& d) { Draft::field(d.tensors()[1], "channels") = json(2); });
  refused(network(false), "sum: the number of channels of y is 2, must be 3, the channels of x",
          [](Draft& d) { Draft::field(d.tensors()[1], "channels") = json(2); });
}

}  // namespace

void test_reduce() {
  test_kernels();
  test_sizes();
  test_refusals();
}

}  // namespace tilewise::testing
