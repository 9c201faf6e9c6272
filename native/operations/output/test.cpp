#include <cstring>
#include <string>
#include <vector>

#include "tests/light_kernels.h"
#include "tests/refusals.h"

namespace tilewise::testing {
namespace {

constexpr std::pair<std::int64_t, std::int64_t> kMapSizes[] = {{1, 1}, {3, 7}, {2, 35}};

// As real numbers, and as what is stored; with the channels first, and last. Nothing beyond the array is touched.
void test_kernels() {
  Random random(9);
  for (const int format : kFormats) {
    for (const std::int64_t channels : kChannels) {
      for (const auto& [height, width] : kMapSizes) {
        for (const int options : {0, 1, 2, 3}) {
          const Memory x = filled(shaped(format, height, width, channels), random);
          const bool as_stored = (options & 1) != 0, last = (options & 2) != 0;
          const Dtype dtype = as_stored ? x.tensor.dtype : Dtype::kFloat32;
          const auto size = static_cast<std::size_t>(bytes_of(dtype));
          const auto count = static_cast<std::size_t>(kImages * channels * height * width);
          std::vector<std::byte> values((count + 1) * size, std::byte{0xA5});
          const Port ports[] = {{}, {.data = values.data(), .dtype = dtype, .channels_last = last}};
          for_sets([&](const KernelSet& set, const std::string& by) {
            std::memset(values.data(), 0xA5, values.size());
            run(*set.output({.x = &x.tensor, .port = 1}), {.images = kImages, .outputs = ports});
            const std::string text = "output of format " + std::to_string(format) + ", options " + std::to_string(options) + " by " + by;
            for (std::size_t i = 0; i < count; ++i) {
              const auto n = static_cast<std::int64_t>(i);
              const Place p = last ? Place{n / channels / width / height, n / channels / width % height, n / channels % width, n % channels}
                                   : Place{n / width / height / channels, n / width % height, n % width, n / width / height % channels};
              const std::byte* const found = values.data() + i * size;
              if (as_stored) {
                CHECK(std::memcmp(found, x.tensor.data + position(x.tensor, p) * size, size) == 0, text);
              } else {
                const float expected = real(x.tensor, p);
                CHECK(std::memcmp(found, &expected, size) == 0, text);
              }
            }
            CHECK(values.back() == std::byte{0xA5}, text);
          });
        }
      }
    }
  }
}

Draft network() {
  NetworkBuilder b(1);
  const std::int64_t x = b.draft.bytes(3);
  b.input("x", x);
  b.output("y", x, {2, 1, 1, 0, 3, 2, 0, 1}, 12);
  return std::move(b.draft);
}

Draft any_values() {
  Draft any = network();
  any("y", "values") = json(0);
  return any;
}

void test_sizes() {
  check_size(network(), {{1, 4}}, {1, 4});
  size_refused(any_values(), {{2, 3}}, "y: an axis has 9 values, must have a multiple of 2");
  size_refused(network(), {{2, 3}}, "y: the number of values is 18, must be 12, as the network was compiled");
  check_size(any_values(), {{2, 4}}, {2, 4});
}

}  // namespace

void test_output() {
  test_kernels();
  test_sizes();
  const auto with_axes = [](std::vector<std::int64_t> shape, std::vector<std::int64_t> axes) {
    return [=](Draft& d) { d.array("y", "axes") = values_of(shape, axes); };
  };
  refused(network(), "y: the number of columns of axes is 3, must be 4, for one axis each", with_axes({1, 3}, {3, 1, 1}));
  refused(network(), "y: the number of axes is 8, must be 0..7", with_axes({8, 4}, std::vector<std::int64_t>(32, 1)));
  refused(network(), "y: the multiple of an axis is 0, must be 1..65536", with_axes({1, 4}, {0, 1, 1, 1}));
  refused(network(), "y: the divisor of an axis is -1, must be 1..65536", with_axes({1, 4}, {3, -1, 1, 1}));
  refused(network(), "y: the rows of an axis is 2, must be 0..1", with_axes({1, 4}, {3, 1, 2, 1}));
  refused(network(), "y: the columns of an axis is -1, must be 0..1", with_axes({1, 4}, {3, 1, 1, -1}));
  Draft map = network();
  map.values.erase("1.axes");
  refused(map, "y: has the channels last, must have axes", [](Draft& d) { d("y", "channels_last") = json(true); });
  Draft wrong = any_values();
  with_axes({1, 4}, {3, 1, 1, 0})(wrong);
  size_refused(wrong, {{2, 4}}, "y: the product of its axes is 6, must be 24, C*H*W");
  refused(network(), "y: x is bfloat16, must be uint8, int16 or float32",
          [](Draft& d) { d.tensors()[0] = object({{"name", json("t")}, {"channels", json(3)}, {"dtype", json("bfloat16")}}); });
}

}  // namespace tilewise::testing
