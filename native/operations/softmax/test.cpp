#include <algorithm>
#include <cmath>
#include <string>

#include "tests/light_kernels.h"
#include "tests/refusals.h"

namespace tilewise::testing {
namespace {

// Near the mathematical library's, and the same on every set; torch holds it to the bit (tests/engine).
void test_kernels() {
  Random random(6);
  for (const int from : kFormats) {
    for (const std::int64_t channels : kChannels) {
      const std::string text = "softmax from format " + std::to_string(from) + ", " + std::to_string(channels) + " channels";
      const Memory x = filled(shaped(from, 3, 7, channels), random);
      Memory y(shaped(0, 3, 7, channels), kImages, 0xFF), first(shaped(0, 3, 7, channels), kImages, 0);
      run(*kernel_set("reference").softmax({.x = &x.tensor, .y = &first.tensor}), {.images = kImages});
      const auto formula = [&](const Place& p) { return real(first.tensor, p); };
      for (std::int64_t row = 0; row < 3; ++row) {
        float largest = -INFINITY, sum = 0;
        for (std::int64_t c = 0; c < channels; ++c) largest = std::max(largest, real(x.tensor, {1, row, 2, c}));
        for (std::int64_t c = 0; c < channels; ++c) sum += std::exp(real(x.tensor, {1, row, 2, c}) - largest);
        for (std::int64_t c = 0; c < channels; ++c) {
          const float expected = std::exp(real(x.tensor, {1, row, 2, c}) - largest) / sum;
          CHECK(std::abs(formula({1, row, 2, c}) - expected) < 1e-6F, text);
        }
      }
      for_sets([&](const KernelSet& set, const std::string& by) {
        run(*set.softmax({.x = &x.tensor, .y = &y.tensor}), {.images = kImages});
        check_output(y, formula, text + " by " + by);
      });
    }
  }
}

Draft network() {
  NetworkBuilder b(1);
  const std::int64_t x = b.draft.bytes(3), y = b.draft.floats(3);
  b.input("x", x);
  b.softmax("shares", x, y);
  b.output("y", y);
  return std::move(b.draft);
}

}  // namespace

void test_softmax() {
  test_kernels();
  check_size(network(), {{5, 7}}, {5, 7});
  refused(network(), "shares: the number of channels of y is 2, must be 3, the channels of x",
          [](Draft& d) { Draft::field(d.tensors()[1], "channels") = json(2); });
}

}  // namespace tilewise::testing
