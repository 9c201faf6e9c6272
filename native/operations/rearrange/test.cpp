#include <string>
#include <vector>

#include "tests/light_kernels.h"
#include "tests/refusals.h"

namespace tilewise::testing {
namespace {

// Channels as they are, and rows as channels: for each, where in the 3x4 pixels of x a number of y lies.
void test_kernels() {
  Random random(6);
  for (const int format : kFormats) {
    for (const std::int64_t channels : kChannels) {
      const Memory x = filled(shaped(format, 3, 4, channels), random);
      const std::int64_t stride = x.tensor.stride;
      Memory turned(shaped(format, 4, 3, channels), kImages, 0xFF), split(shaped(format, channels, 4, 3), kImages, 0xFF);
      std::vector<std::int64_t> each;
      for (std::int64_t c = 0; c < channels; ++c) each.push_back(c);
      const std::vector<std::int64_t> rows = {0, 4 * stride, 8 * stride}, cols = {0, stride, 2 * stride, 3 * stride};
      const Rearrange turn{.x = &x.tensor, .y = &turned.tensor, .rows = cols, .cols = rows, .channels = each};
      const Rearrange cut{.x = &x.tensor, .y = &split.tensor, .rows = each, .cols = cols, .channels = rows};
      for_sets([&](const KernelSet& set, const std::string& by) {
        run(*set.rearrange(turn), {.images = kImages});
        check_output(turned, [&](const Place& p) { return real(x.tensor, {p.image, p.col, p.row, p.channel}); }, "turned by " + by);
        run(*set.rearrange(cut), {.images = kImages});
        check_output(split, [&](const Place& p) { return real(x.tensor, {p.image, p.channel, p.col, p.row}); }, "cut by " + by);
      });
    }
  }
}

// Pixels of 12 channels, (3, 4), become four times as many columns of 3 channels; every other row goes to them too.
Draft network() {
  NetworkBuilder b(1);
  const std::int64_t x = b.draft.bytes(12), y = b.draft.bytes(6);
  b.input("x", x);
  b.rearrange("moved", x, y, {0, 3, 0, 4, 1, 0, 1, 2, 2, 0}, {{0, 3}, {2}, {4, 1}});
  b.output("y", y);
  return std::move(b.draft);
}

void test_refusals() {
  const auto digit = [](std::size_t at, std::int64_t value) {
    return [=](Draft& d) { d.array("moved", "digits").as<std::int64_t>()[at] = value; };
  };
  const auto channels = [](std::vector<std::int64_t> digits) {
    return [=](Draft& d) { d.array("moved", "channels") = values_of(digits); };
  };
  refused(network(), "moved: whose a digit is is 3, must be 0..2", digit(0, 3));
  refused(network(), "moved: the values of a digit is -1, must be 0..65536", digit(1, -1));
  refused(network(), "moved: two digits of a number are 0, must be one", digit(7, 0));
  refused(network(), "moved: a digit is 5, must be 0..4", channels({0, 5}));
  refused(network(), "moved: digit 1 is used twice, must be once", channels({0, 1}));
  refused(network(), "moved: a digit is not used, must be once", channels({0}));
  refused(network(), "moved: the number of columns of digits is 3, must be 2",
          [](Draft& d) { d.array("moved", "digits") = values_of({1, 3}, std::vector<std::int64_t>(3)); });
  refused(network(), "moved: the number of digits is 17, must be 0..16",
          [](Draft& d) { d.array("moved", "digits") = values_of({17, 2}, std::vector<std::int64_t>(34)); });
  refused(network(), "moved: y must have the type and the grid of x", [](Draft& d) { Draft::field(d.tensors()[1], "high") = json(254); });
  refused(network(), "moved: x is bfloat16, must be uint8, int16 or float32",
          [](Draft& d) { d.tensors()[0] = object({{"name", json("t")}, {"channels", json(12)}, {"dtype", json("bfloat16")}}); });
}

}  // namespace

void test_rearrange() {
  test_kernels();
  check_size(network(), {{6, 5}}, {3, 20});
  size_refused(network(), {{5, 5}}, "moved: 5 rows are no product of the digits, whose product is 2");
  Draft wrong = network();
  wrong.array("moved", "digits").as<std::int64_t>()[1] = 5;
  size_refused(wrong, {{6, 5}}, "moved: 12 channels are no product of the digits, whose product is 20");
  test_refusals();
}

}  // namespace tilewise::testing
