#include <algorithm>
#include <string>
#include <vector>

#include "tests/refusals.h"

namespace tilewise::testing {
namespace {

// F(2,3) with padding 1, from 3 to 5 channels. Its matrices are twice a convolution, so sums lose two bits.
Draft network(std::int64_t channels = 3, std::int64_t low = -127) {
  NetworkBuilder b(1);
  const std::int64_t x = b.draft.bytes(channels, low), y = b.draft.bytes(5);
  b.input("x", x);
  b.wrapping("conv", x, y);
  b.output("y", y);
  return std::move(b.draft);
}

void test_sizes() {
  check_size(network(), {{7, 9}}, {7, 9});
  Draft d = network();
  d("conv", "padding") = numbers({0, 2, 3, 0});  // above, below, left, right
  check_size(d, {{7, 9}}, {7, 10});
  d("conv", "padding") = numbers({0, 0, 0, 0});
  size_refused(d, {{2, 9}}, "conv: the height of its input is 2, must be at least 3");
}

void test_refusals() {
  const auto bad = [](const std::string& part, auto change) { refused(network(), "conv: " + part, change); };
  const auto entry = [](const char* array, std::size_t at, std::int32_t value) {
    return [=](Draft& d) { d.array("conv", array).as<std::int32_t>()[at] = value; };
  };
  bad("at, g and bt must be a convolution times a positive integer", entry("at", 0, 2));
  bad("at, g and bt must be a convolution times a positive integer", [](Draft& d) {
    for (int i = 0; i < 8; ++i) d.array("conv", "at").as<std::int32_t>()[i] *= -1;
  });
  bad("an entry of at, g or bt is 32768, must be -32767..32767", entry("g", 0, 32768));
  bad("an entry of at, g or bt is -2147483648, must be", entry("bt", 5, -2147483647 - 1));
  const auto matrix = [](const char* which, std::int64_t rows, std::int64_t columns) {
    return [=](Draft& d) {
      d.array("conv", which) = values_of({rows, columns}, std::vector<std::int32_t>(static_cast<std::size_t>(rows * columns), 1));
    };
  };
  bad("the number of rows of g is 27, must be 1..26", matrix("g", 27, 3));
  bad("the number of rows of at is 0, must be 1..26", matrix("at", 0, 4));
  bad("the number of columns of g is 0, must be 1..26", matrix("g", 4, 0));
  bad("the inputs of a tile, m + r - 1, is 28, must be 1..26", matrix("at", 26, 4));
  bad("the number of columns of at is 5, must be 4, the rows of g", matrix("at", 2, 5));
  bad("the number of rows of bt is 5, must be 4, the rows of g", matrix("bt", 5, 4));
  bad("the number of columns of bt is 5, must be 4, m + r - 1", matrix("bt", 4, 5));
  bad("the height of weight is 3, must be 2, the columns of g", [&](Draft& d) {
    matrix("g", 4, 2)(d);
    matrix("bt", 4, 3)(d);
  });
  const auto weight = [](std::vector<std::int64_t> shape) {
    return [=](Draft& d) {
      d.array("conv", "weight") = values_of(shape, std::vector<std::int8_t>(static_cast<std::size_t>(element_count(shape)), 1));
    };
  };
  bad("the number of output channels of weight is 4, must be 5, the channels of y", weight({4, 3, 3, 3}));
  bad("the width of weight is 2, must be 3, its height", weight({5, 3, 2, 3}));
  bad("the number of input channels of weight is 4, must be 3, the channels of x", weight({5, 3, 3, 4}));
  bad("x is float32, must be uint8",
      [](Draft& d) { d.tensors()[0] = object({{"name", json("t")}, {"channels", json(3)}, {"dtype", json("float32")}}); });
  bad("the length of scale is 4, must be 5", [](Draft& d) { d.array("conv", "scale") = values_of(std::vector<float>(4)); });
}

// V and U must fit int16, whatever the bytes are.
void test_growth() {
  const auto multiplied = [](const char* array, std::int32_t factor) {
    return [=](Draft& d) {
      Values& matrix = d.array("conv", array);
      for (std::int64_t i = 0; i < element_count(matrix.shape); ++i) matrix.as<std::int32_t>()[i] *= factor;
      Values& weight = d.array("conv", "weight");
      std::fill_n(weight.as<std::int8_t>(), weight.bytes.size(), std::int8_t{127});
    };
  };
  refused(network(), "conv: the largest value of B^T q B is 41472, must be 0..32767", multiplied("bt", 9));
  refused(network(), "conv: a value of G w G^T is 41148, must be -32767..32767", multiplied("g", 6));
}

// Sums of an output channel stay below 2^(31 - 2), whatever the bytes are: 128 of a signed grid, 255 of another.
void test_sums() {
  for (const std::int64_t low : {-127, 0}) {
    const std::int64_t most = ((std::int64_t{1} << 29) - 1) / (low == 0 ? 255 : 128);
    const std::int64_t fits = most / (127 * 9);
    for (const std::int64_t channels : {fits, fits + 1}) {
      Draft d = network(channels, low);
      Values& weight = d.array("conv", "weight");
      std::fill_n(weight.as<std::int8_t>(), weight.bytes.size(), std::int8_t{127});
      const std::string words = refusal([&] { const Loaded loaded(d); });
      CHECK(words.empty() == (channels == fits), words);
      CHECK(words.empty() || words.find("must be at most " + std::to_string(most) + " to fit int32") != std::string::npos, words);
    }
  }
}

}  // namespace

void test_wrapping() {
  test_sizes();
  test_refusals();
  test_growth();
  test_sums();
}

}  // namespace tilewise::testing
