#include <string>

#include "tests/light_kernels.h"
#include "tests/refusals.h"

namespace tilewise::testing {
namespace {

void test_kernels() {
  Random random(5);
  for (const int format : kFormats) {
    for (const std::int64_t channels : {1, 3, 17}) {
      for (const std::int64_t f : {1, 2, 3, 4}) {
        const Memory x = filled(shaped(format, 3, 2, channels * f * f), random);
        Memory y(shaped(format, 3 * f, 2 * f, channels, channels < 4 ? 4 : 16), kImages, 0xFF);
        const PixelShuffle shuffle{.x = &x.tensor, .y = &y.tensor, .factor = f};
        const auto formula = [&](const Place& p) {
          const std::int64_t source = p.channel * f * f + p.row % f * f + p.col % f;
          return real(x.tensor, {p.image, p.row / f, p.col / f, source});
        };
        for_sets([&](const KernelSet& set, const std::string& by) {
          run(*set.pixel_shuffle(shuffle), {.images = kImages});
          check_output(y, formula, "pixel shuffle by " + by);
        });
      }
    }
  }
}

Draft network() {
  NetworkBuilder b(1);
  const std::int64_t x = b.draft.bytes(27), y = b.draft.bytes(3);
  b.input("x", x);
  b.pixel_shuffle("shuffled", x, y, 3);
  b.output("y", y);
  return std::move(b.draft);
}

void test_refusals() {
  refused(network(), "shuffled: factor is 0, must be 1..256", [](Draft& d) { d("shuffled", "factor") = json(0); });
  refused(network(), "shuffled: the number of channels of x is 27, must be 12, the channels of y times the factor squared",
          [](Draft& d) { d("shuffled", "factor") = json(2); });
  refused(network(), "shuffled: y must have the type and the grid of x",
          [](Draft& d) { Draft::field(d.tensors()[1], "high") = json(254); });
  refused(network(), "shuffled: y must have the type and the grid of x",
          [](Draft& d) { d.tensors()[1] = object({{"name", json("t")}, {"channels", json(3)}, {"dtype", json("float32")}}); });
  refused(network(), "shuffled: x is bfloat16, must be uint8, int16 or float32",
          [](Draft& d) { d.tensors()[0] = object({{"name", json("t")}, {"channels", json(27)}, {"dtype", json("bfloat16")}}); });
}

}  // namespace

void test_pixel_shuffle() {
  test_kernels();
  check_size(network(), {{5, 4}}, {15, 12});
  size_refused(network(), {{5, 30000}}, "shuffled: the width of its result is 90000, must be 1..65536");
  test_refusals();
}

}  // namespace tilewise::testing
