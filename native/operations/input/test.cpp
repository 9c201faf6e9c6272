#include <cmath>
#include <cstdint>
#include <cstring>
#include <limits>
#include <string>
#include <vector>

#include "tests/light_kernels.h"
#include "tests/refusals.h"

namespace tilewise::testing {
namespace {

constexpr std::pair<std::int64_t, std::int64_t> kImageSizes[] = {{1, 1}, {3, 7}, {2, 35}};

// Where the caller's array holds a value.
std::size_t place_in(const TensorRef& t, const Place& p, bool channels_last) {
  const std::int64_t at = channels_last ? ((p.image * t.height + p.row) * t.width + p.col) * t.channels + p.channel
                                        : ((p.image * t.channels + p.channel) * t.height + p.row) * t.width + p.col;
  return static_cast<std::size_t>(at);
}

// Calls test(where the images go, mean and deviation or nothing, channels last, text).
template <typename Test>
void for_inputs(Random& random, const Test& test) {
  for (int format = 0; format <= kBf16; ++format) {
    for (const std::int64_t channels : kChannels) {
      for (const auto& [height, width] : kImageSizes) {
        for (const int options : {0, 1, 2, 3}) {
          // Pixels lie 4 apart where only convolutions read them.
          Memory y(shaped(format, height, width, channels, channels < 4 ? 4 : 16), kImages, 0xFF);
          std::vector<float> mean, deviation;
          if (options & 1) {
            mean = floats(static_cast<std::size_t>(channels), 50, random);
            deviation = floats(static_cast<std::size_t>(channels), 3, random);
            for (float& value : deviation) value = std::abs(value) + 0.5F;
          }
          test(y, NetworkInput{.y = &y.tensor, .port = 1, .mean = mean, .deviation = deviation}, (options & 2) != 0,
               "input of format " + std::to_string(format) + ", " + std::to_string(channels) + " channels, options " +
                   std::to_string(options));
        }
      }
    }
  }
}

float normalized(const NetworkInput& params, std::int64_t channel, float value) {
  const auto c = static_cast<std::size_t>(channel);
  return params.mean.empty() ? value : (value - params.mean[c]) / params.deviation[c];
}

template <typename T>
Port port_of(std::vector<T>& values, Dtype dtype, bool channels_last) {
  return {.data = reinterpret_cast<std::byte*>(values.data()), .dtype = dtype, .channels_last = channels_last};
}

void test_floats() {
  Random random(7);
  for_inputs(random, [&](Memory& y, const NetworkInput& params, bool channels_last, const std::string& text) {
    const auto count = static_cast<std::size_t>(kImages * y.tensor.pixels() * y.tensor.channels);
    std::vector<float> values = floats(count, params.mean.empty() ? 3 : 60, random);
    if (y.tensor.dtype == Dtype::kUint8 || y.tensor.dtype == Dtype::kInt16) {
      values[0] = std::numeric_limits<float>::infinity();  // what no grid holds is clamped
      values[count - 1] = -1e30f;
    }
    const Port ports[] = {{}, port_of(values, Dtype::kFloat32, channels_last)};
    const auto formula = [&](const Place& p) {
      return normalized(params, p.channel, values[place_in(y.tensor, p, channels_last)]);
    };
    for_sets([&](const KernelSet& set, const std::string& by) {
      run(*set.input(params), {.images = kImages, .inputs = ports});
      check_output(y, formula, text + " by " + by);
    });
  });
}

// Bytes go through a table, and give bit for bit what the same numbers as floats give.
void test_bytes() {
  Random random(8);
  for_inputs(random, [&](Memory& y, const NetworkInput& params, bool channels_last, const std::string& text) {
    const auto count = static_cast<std::size_t>(kImages * y.tensor.pixels() * y.tensor.channels);
    std::vector<std::uint8_t> bytes(count);
    std::vector<float> values(count);
    for (std::size_t i = 0; i < count; ++i)
      bytes[i] = static_cast<std::uint8_t>(random() % 256), values[i] = static_cast<float>(bytes[i]);
    const Port as_bytes[] = {{}, port_of(bytes, Dtype::kUint8, channels_last)};
    const Port as_floats[] = {{}, port_of(values, Dtype::kFloat32, channels_last)};
    for_sets([&](const KernelSet& set, const std::string& by) {
      run(*set.input(params), {.images = kImages, .inputs = as_floats});
      const std::vector<std::byte> expected = y.contents();
      std::memset(y.tensor.data, 0xFF, expected.size());
      run(*set.input(params), {.images = kImages, .inputs = as_bytes});
      CHECK(y.guards_intact() && y.contents() == expected, text + " as bytes by " + by);
    });
  });
}

// The table of every byte and channel: 256 images of one pixel.
void test_every_byte() {
  for (const int format : kFormats) {
    TensorRef like = shaped(format, 1, 1, 3);
    Memory y(like, 256, 0), expected(like, 256, 0);
    std::vector<std::uint8_t> bytes;
    std::vector<float> values;
    for (int i = 0; i < 256 * 3; ++i) bytes.push_back(static_cast<std::uint8_t>(i / 3)), values.push_back(static_cast<float>(i / 3));
    const Port as_bytes[] = {port_of(bytes, Dtype::kUint8, true)}, as_floats[] = {port_of(values, Dtype::kFloat32, true)};
    for_sets([&](const KernelSet& set, const std::string& by) {
      const std::vector<float> mean = {123.675F, 116.28F, 103.53F}, deviation = {58.395F, 57.12F, 57.375F};
      run(*set.input({.y = &y.tensor, .port = 0, .mean = mean, .deviation = deviation}), {.images = 256, .inputs = as_bytes});
      run(*set.input({.y = &expected.tensor, .port = 0, .mean = mean, .deviation = deviation}), {.images = 256, .inputs = as_floats});
      CHECK(y.contents() == expected.contents(), "every byte by " + by);
    });
  }
}

// The lowest value of the grid takes the place of what is not a number.
void test_nan() {
  const float nan = std::numeric_limits<float>::quiet_NaN();
  for (const int format : {1, 2, 4}) {
    Memory y(shaped(format, 1, 1, 1), kImages, 0xFF);
    std::vector<float> values = {nan, -nan};
    const Port ports[] = {port_of(values, Dtype::kFloat32, false)};
    for_sets([&](const KernelSet& set, const std::string& by) {
      run(*set.input({.y = &y.tensor, .port = 0, .mean = {}, .deviation = {}}), {.images = kImages, .inputs = ports});
      CHECK(stored(y.tensor, 0) == y.tensor.grid.low + y.tensor.grid.zero, by);
    });
  }
}

Draft network() {
  NetworkBuilder b(1);
  const std::int64_t x = b.draft.bytes(3, -127);
  b.input("image", x, {1, 2, 3}, {4, 5, 6});
  b.output("y", x);
  return std::move(b.draft);
}

void test_sizes() {
  Draft draft = network();
  check_size(draft, {{5, 7}}, {5, 7});
  draft("image", "multiple") = numbers({4, 8});
  check_size(draft, {{12, 8}}, {12, 8});
  size_refused(draft, {{13, 8}}, "image: the height of the images is 13, must be a multiple of 4");
  size_refused(draft, {{12, 12}}, "image: the width of the images is 12, must be a multiple of 8");
  size_refused(draft, {{0, 8}}, "image: the height of the images is 0, must be 1..65536");
  size_refused(draft, {{4, 65544}}, "image: the width of the images is 65544, must be 1..65536");
  draft("image", "size") = numbers({12, 0});
  check_size(draft, {{12, 16}}, {12, 16});
  size_refused(draft, {{8, 16}}, "image: the height of the images is 8, must be 12, what the network was compiled for");
}

void test_refusals() {
  const Draft valid = network();
  refused(valid, "image: mean and deviation must come together", [](Draft& d) { d.drop_array("image", "mean"); });
  refused(valid, "image: mean and deviation must come together", [](Draft& d) { d.drop_array("image", "deviation"); });
  refused(valid, "image: the length of mean is 2, must be 3", [](Draft& d) { d.array("image", "mean") = values_of(std::vector<float>(2)); });
  refused(valid, "image: mean holds nan at position 1", [](Draft& d) { d.array("image", "mean").as<float>()[1] = NAN; });
  refused(valid, "image: deviation holds 0, must be other numbers", [](Draft& d) { d.array("image", "deviation").as<float>()[2] = 0; });
}

}  // namespace

void test_input() {
  test_floats();
  test_bytes();
  test_every_byte();
  test_nan();
  test_sizes();
  test_refusals();
}

}  // namespace tilewise::testing
