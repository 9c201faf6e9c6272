// The reference against direct convolution, exactly; its extremes; its refusals.
#include <algorithm>
#include <cstdint>
#include <functional>
#include <numeric>
#include <random>
#include <sstream>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "kernels/winograd/reference.h"
#include "tests/check.h"

namespace tilewise::winograd {
namespace {

// An algorithm with G scaled to integers: u = (G g) G^T is g_scale^2 times the real one.
struct Algorithm {
  const char* name;
  std::int64_t m, r, n;
  std::vector<std::int32_t> bt, g, at;
  std::int32_t g_scale;
  std::int64_t stride = 1;
};

// clang-format off
const Algorithm kF2x3{"F(2,3)", 2, 3, 4,
                      {1, 0, -1, 0, 0, 1, 1, 0, 0, -1, 1, 0, 0, 1, 0, -1},
                      {2, 0, 0, 1, 1, 1, 1, -1, 1, 0, 0, 2},
                      {1, 1, 1, 0, 0, 1, -1, -1}, 2};
const Algorithm kF4x3{"F(4,3)", 4, 3, 6,
                      {4, 0, -5, 0, 1, 0, 0, -4, -4, 1, 1, 0, 0, 4, -4, -1, 1, 0,
                       0, -2, -1, 2, 1, 0, 0, 2, -1, -2, 1, 0, 0, 4, 0, -5, 0, 1},
                      {6, 0, 0, -4, -4, -4, -4, 4, -4, 1, 2, 4, 1, -2, 4, 0, 0, 24},
                      {1, 1, 1, 1, 1, 0, 0, 1, -1, 2, -2, 0, 0, 1, 1, 4, 4, 0, 0, 1, -1, 8, -8, 1}, 24};
// Direct convolution as a bilinear algorithm, m*r products: more products than inputs.
const Algorithm kDirect2x2{"direct(2,2)", 2, 2, 4,
                           {1, 0, 0, 0, 1, 0, 0, 1, 0, 0, 0, 1},
                           {1, 0, 0, 1, 1, 0, 0, 1},
                           {1, 1, 0, 0, 0, 0, 1, 1}, 1};
// F(2,3) of stride 2: F(2,2) on every other sample, and one product for the tap between.
const Algorithm kF2x3s2{"F(2,3)/2", 2, 3, 5,
                        {-1, 0, 1, 0, 0, 0, 0, 1, 0, 0, 0, 0, -1, 0, 1, 0, 1, 0, 0, 0, 0, 0, 0, 1, 0},
                        {-1, 0, 0, 1, 0, 1, 0, 0, 1, 0, 1, 0, 0, 1, 0},
                        {1, 1, 0, 1, 0, 0, 1, 1, 0, 1}, 1, 2};
// clang-format on

// A problem and the memory it looks at.
struct Case {
  std::string text;
  Tensor<std::int16_t, 4> x;
  Tensor<std::int16_t, 4> weight;  // [K, C, r, r]
  Tensor<std::int16_t, 3> u;
  Tensor<std::int32_t, 2> bt, mult;
  Tensor<float, 2> at, scale;
  Tensor<float, 1> bias;
  std::int64_t stride = 1;
  Shape<2> padding{};
  std::int64_t v_limit = 32767;
  int fraction_bits = 15;

  Problem problem() const {
    return {x.view(),    u.view(), bt.view(), mult.view(), at.view(),    scale.view(),
            bias.view(), stride,   padding,   v_limit,     fraction_bits};
  }
};

void transform_weights(const Algorithm& algorithm, Case& c) {
  const std::int64_t n = algorithm.n, r = algorithm.r;
  const auto g = [&](std::int64_t a, std::int64_t i) {
    return algorithm.g[static_cast<std::size_t>(a * r + i)];
  };
  for (std::int64_t tap = 0; tap < n * n; ++tap) {
    for (std::int64_t k = 0; k < c.weight.shape[0]; ++k) {
      for (std::int64_t ch = 0; ch < c.weight.shape[1]; ++ch) {
        std::int32_t sum = 0;
        for (std::int64_t i = 0; i < r; ++i) {
          for (std::int64_t j = 0; j < r; ++j) {
            sum += g(tap / n, i) * g(tap % n, j) * c.weight.view()(k, ch, i, j);
          }
        }
        c.u.view()(tap, k, ch) = static_cast<std::int16_t>(sum);
      }
    }
  }
}

// `value` gives the image and the weights, in that order.
Case make_case(const Algorithm& algorithm, const Shape<4>& image, std::int64_t filters,
               const Shape<2>& padding, const std::function<std::int16_t()>& image_value,
               const std::function<std::int16_t()>& weight_value) {
  const std::int64_t n = algorithm.n, taps = n * n, channels = image[1];
  Case c;
  std::ostringstream text;
  text << algorithm.name << " mb" << image[0] << "ic" << channels << "ih" << image[2] << "iw" << image[3]
       << "oc" << filters << "ph" << padding[0] << "pw" << padding[1];
  c.text = text.str();
  c.x = Tensor<std::int16_t, 4>(image);
  std::generate(c.x.values.begin(), c.x.values.end(), image_value);
  c.weight = Tensor<std::int16_t, 4>({filters, channels, algorithm.r, algorithm.r});
  std::generate(c.weight.values.begin(), c.weight.values.end(), weight_value);
  c.u = Tensor<std::int16_t, 3>({taps, filters, channels});
  c.stride = algorithm.stride;
  c.bt = Tensor<std::int32_t, 2>({n, algorithm.stride * (algorithm.m - 1) + algorithm.r});
  c.bt.values = algorithm.bt;
  c.mult = Tensor<std::int32_t, 2>({taps, channels});
  std::fill(c.mult.values.begin(), c.mult.values.end(), 32767);  // leaves -16383..16384 as it is
  c.at = Tensor<float, 2>({algorithm.m, n});
  std::copy(algorithm.at.begin(), algorithm.at.end(), c.at.values.begin());
  c.scale = Tensor<float, 2>({taps, 1});
  std::fill(c.scale.values.begin(), c.scale.values.end(), 1.0f);
  c.bias = Tensor<float, 1>({filters});
  std::iota(c.bias.values.begin(), c.bias.values.end(), -3.0f);
  c.padding = padding;
  transform_weights(algorithm, c);
  return c;
}

std::int64_t direct(const Case& c, std::int64_t image, std::int64_t k, std::int64_t row, std::int64_t col) {
  std::int64_t sum = 0;
  for (std::int64_t ch = 0; ch < c.x.shape[1]; ++ch) {
    for (std::int64_t i = 0; i < c.weight.shape[2]; ++i) {
      for (std::int64_t j = 0; j < c.weight.shape[3]; ++j) {
        const std::int64_t y = c.stride * row + i - c.padding[0], x = c.stride * col + j - c.padding[1];
        if (y < 0 || y >= c.x.shape[2] || x < 0 || x >= c.x.shape[3]) continue;
        sum += std::int64_t{c.x.view()(image, ch, y, x)} * c.weight.view()(k, ch, i, j);
      }
    }
  }
  return sum;
}

// With multipliers that change nothing and floats that stay below 2^24, everything is exact.
void check_direct(const Algorithm& algorithm, const Case& c) {
  const Stages stages = convolve(c.problem());
  const std::int64_t factor = std::int64_t{algorithm.g_scale} * algorithm.g_scale;
  const auto y = stages.y.view();
  CHECK(std::equal(stages.v.values.begin(), stages.v.values.end(), stages.vq.values.begin(),
                   stages.vq.values.end()),
        c.text);
  for (std::int64_t image = 0; image < y.shape[0]; ++image) {
    for (std::int64_t k = 0; k < y.shape[1]; ++k) {
      for (std::int64_t row = 0; row < y.shape[2]; ++row) {
        for (std::int64_t col = 0; col < y.shape[3]; ++col) {
          const std::int64_t expected = factor * direct(c, image, k, row, col) - 3 + k;
          CHECK(y(image, k, row, col) == static_cast<float>(expected), c.text);
        }
      }
    }
  }
}

void test_equals_direct_convolution() {
  constexpr unsigned kSeed = 20201;
  std::mt19937 random(kSeed);
  const std::vector<Shape<4>> images = {{1, 1, 1, 1}, {1, 2, 3, 3},  {2, 3, 7, 5}, {1, 1, 2, 9},
                                        {1, 2, 8, 8}, {3, 1, 13, 1}, {0, 2, 5, 5}, {1, 0, 4, 4}};
  for (const Algorithm& algorithm : {kF2x3, kF4x3, kDirect2x2, kF2x3s2}) {
    const int limit = algorithm.m == 4 ? 3 : 255;  // F(4,3) at 255 would leave the 24 bits of float32
    const int weight_limit = algorithm.m == 4 ? 2 : 8;
    std::uniform_int_distribution<int> value(-limit, limit), weight(-weight_limit, weight_limit);
    for (const Shape<4>& image : images) {
      for (const Shape<2>& padding : {Shape<2>{1, 1}, Shape<2>{2, 1}, Shape<2>{3, 4}}) {
        const Case c = make_case(
            algorithm, image, 2, padding, [&] { return static_cast<std::int16_t>(value(random)); },
            [&] { return static_cast<std::int16_t>(weight(random)); });
        check_direct(algorithm, c);
      }
    }
  }
}

void test_adversarial_images() {
  const auto weight = [] { return std::int16_t{-8}; };
  for (const std::int16_t value : std::vector<std::int16_t>{127, -127, 255}) {
    check_direct(kF2x3, make_case(kF2x3, {2, 3, 5, 6}, 2, {1, 1}, [=] { return value; }, weight));
    std::int16_t next = value;
    const auto alternating = [&] { return std::exchange(next, static_cast<std::int16_t>(-next)); };
    check_direct(kF2x3, make_case(kF2x3, {2, 3, 5, 7}, 2, {0, 1}, alternating, weight));
  }
}

std::int16_t requantize_one(std::int32_t v, std::int32_t mult, std::int64_t v_limit, int fraction_bits = 15) {
  Tensor<std::int32_t, 3> values({1, 1, 1});
  Tensor<std::int32_t, 2> mults({1, 1});
  values.values[0] = v;
  mults.values[0] = mult;
  return requantize(std::as_const(values).view(), std::as_const(mults).view(), v_limit, fraction_bits).values[0];
}

void test_requantize() {
  struct Row {
    std::int32_t v, mult;
    std::int64_t v_limit;
    std::int16_t expected;
  };
  // clang-format off
  const std::vector<Row> rows = {
      {1, 16384, 127, 1},   {-1, 16384, 127, 0},  {3, 16384, 127, 2},  {-3, 16384, 127, -1},  // halves go up
      {1, 16383, 127, 0},   {-1, 16385, 127, -1}, {0, 32767, 127, 0},     {127, 32767, 127, 127},
      {128, 32767, 127, 127}, {-128, 32767, 127, -127}, {5, 32767, 1, 1}, {16384, 32767, 32767, 16384},
      {-16383, 32767, 32767, -16383}, {-16384, 32767, 32767, -16383},
      {2147483647, 32767, 32767, 32767}, {-2147483647 - 1, 32767, 32767, -32767},
      {2147483647, 1, 32767, 32767}, {-2147483647 - 1, 1, 32767, -32767}};
  // clang-format on
  for (const Row& row : rows) {
    std::ostringstream text;
    text << "v " << row.v << ", mult " << row.mult << ", v_limit " << row.v_limit;
    CHECK(requantize_one(row.v, row.mult, row.v_limit) == row.expected, text.str());
  }
  CHECK(requantize_one(1 << 20, 16384, 32767, 31) == 8, "2^34 / 2^31");
  CHECK(requantize_one(-(1 << 16), 16384, 32767, 31) == 0, "-1/2 goes up");
}

Case small_case() {
  const auto one = [] { return std::int16_t{1}; };
  return make_case(kF2x3, {1, 3, 4, 4}, 2, {1, 1}, one, one);
}

void test_extremes_of_integers() {
  Case c = small_case();
  // V = bt^2 * x: the greatest and least value that fit, and the next ones.
  std::fill(c.bt.values.begin(), c.bt.values.end(), 0);
  c.bt.values[0] = 256;
  c.padding = {0, 0};
  c.x.values[0] = 32767;
  CHECK(convolve(c.problem()).v.values[0] == 32767 * 65536, "V at 2^31 - 2^16");
  c.x.values[0] = -32768;
  CHECK(convolve(c.problem()).v.values[0] == -2147483647 - 1, "V at -2^31");
  c.bt.values[0] = 257;
  c.x.values[0] = 32767;
  CHECK(testing::throws<std::overflow_error>([&] { convolve(c.problem()); }, "V[0, 0, 0] is 2164227583"),
        "V");
  c.x.values[0] = -32768;
  CHECK(testing::throws<std::overflow_error>([&] { convolve(c.problem()); }, "V[0, 0, 0] is -2164293632"),
        "V");
  std::fill(c.bt.values.begin(), c.bt.values.end(), 0);
  c.bt.values[0] = 1 << 23;
  CHECK(testing::throws<std::overflow_error>([&] { convolve(c.problem()); }, "must fit int32"), "V at 2^61");

  c = small_case();
  std::fill(c.x.values.begin(), c.x.values.end(), std::int16_t{16384});
  std::fill(c.u.values.begin(), c.u.values.end(), std::int16_t{-32768});
  c.mult.values[5 * 3] = c.mult.values[5 * 3 + 1] = c.mult.values[5 * 3 + 2] = 32767;
  CHECK(testing::throws<std::overflow_error>([&] { convolve(c.problem()); }, "must fit int32"), "M");
}

using Change = std::function<void(Case&)>;

void check_refused(const Change& change, const std::string& part) {
  Case c = small_case();
  change(c);
  CHECK(testing::throws<std::invalid_argument>([&] { convolve(c.problem()); }, part), part);
}

void test_refusals() {
  check_refused([](Case& c) { c.u = Tensor<std::int16_t, 3>({16, 2, 4}); },
                "u has 4 input channels, must be 3");
  check_refused([](Case& c) { c.u = Tensor<std::int16_t, 3>({15, 2, 3}); }, "u has 15 taps, must be 16");
  check_refused([](Case& c) { c.mult.shape = {12, 3}; }, "mult has 12 taps, must be 16");
  check_refused([](Case& c) { c.mult.shape = {16, 2}; }, "mult has 2 columns, must be 1 or 3");
  check_refused([](Case& c) { c.mult.values[4] = 0; }, "mult[1, 1] is 0, must be 1..32767");
  check_refused([](Case& c) { c.mult.values[47] = 32768; }, "mult[15, 2] is 32768, must be 1..32767");
  check_refused([](Case& c) { c.scale.shape = {8, 1}; }, "scale has 8 taps, must be 16");
  check_refused([](Case& c) { c.scale = Tensor<float, 2>({16, 3}); }, "scale has 3 columns, must be 1 or 2");
  check_refused([](Case& c) { c.bias = Tensor<float, 1>({3}); }, "bias has 3 values, must be 2");
  check_refused([](Case& c) { c.fraction_bits = 14; }, "fraction_bits is 14, must be 15..31");
  check_refused([](Case& c) { c.v_limit = 0; }, "v_limit is 0, must be 1..32767");
  check_refused([](Case& c) { c.v_limit = 32768; }, "v_limit is 32768, must be 1..32767");
  check_refused([](Case& c) { c.padding = {-1, 0}; }, "padding of the height is -1, must be 0..");
  check_refused([](Case& c) { c.padding = {0, INT64_MAX}; }, "padding of the width is 9223372036854775807");
  check_refused(
      [](Case& c) {
        c.x = Tensor<std::int16_t, 4>({1, 3, 5, 2});
        c.padding = {0, 0};
      },
      "the padded width is 2, must be at least 3");
  check_refused(
      [](Case& c) {
        c.padding = {INT32_MAX, INT32_MAX};
        c.x.shape = {1 << 30, 3, 4, 4};
      },
      "more than 2^59 elements");
  check_refused([](Case& c) { c.at = Tensor<float, 2>({2, 5}); }, "at has 5 columns, must be 4");
  check_refused([](Case& c) { c.at = Tensor<float, 2>({5, 4}); }, "at has 5 rows, must be at most 4");
  check_refused([](Case& c) { c.at = Tensor<float, 2>({0, 4}); }, "at is 0 x 4");
  check_refused([](Case& c) { c.stride = 0; }, "stride is 0, must be 1..1024");
  check_refused([](Case& c) { c.stride = 4; }, "at has 2 rows, must be at most 1 as bt has 4 columns");
  check_refused([](Case& c) { c.bt.values[5] = INT32_MIN; }, "row 1 of bt sum to 2147483649");
}

}  // namespace
}  // namespace tilewise::winograd

int main() {
  tilewise::winograd::test_equals_direct_convolution();
  tilewise::winograd::test_adversarial_images();
  tilewise::winograd::test_requantize();
  tilewise::winograd::test_extremes_of_integers();
  tilewise::winograd::test_refusals();
  return 0;
}
