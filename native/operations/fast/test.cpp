#include <algorithm>
#include <cmath>
#include <string>
#include <vector>

#include "tests/kernel_algorithms.h"
#include "tests/kernel_compare.h"
#include "tests/refusals.h"

namespace tilewise::testing {
namespace {

enum class Of { kBytes, kWords, kFloats };

// F(2,3) with padding 1, or with stride 2; from 3 to 5 channels.
Draft network(Of of = Of::kBytes, std::int64_t stride = 1) {
  NetworkBuilder b(1);
  Draft& d = b.draft;
  const std::int64_t x = of == Of::kBytes ? d.bytes(3) : of == Of::kWords ? d.words(3, -2047) : d.floats(3), y = d.bytes(5);
  b.input("x", x);
  b.fast("conv", x, y, stride);
  b.output("y", y);
  return std::move(d);
}

void test_sizes() {
  check_size(network(), {{7, 9}}, {7, 9});
  check_size(network(), {{1, 1}}, {1, 1});
  check_size(network(Of::kBytes, 2), {{7, 10}}, {4, 5});
  Draft d = network();
  d("conv", "padding") = numbers({0, 2, 3, 0});  // above, below, left, right
  check_size(d, {{7, 9}}, {7, 10});
  d("conv", "padding") = numbers({0, 0, 0, 0});
  size_refused(d, {{2, 9}}, "conv: the height of its input is 2, must be at least 3");
  size_refused(d, {{9, 2}}, "conv: the width of its input is 2, must be at least 3");
  Draft apart = network();
  apart("conv", "dilation") = json(3);
  check_size(apart, {{7, 9}}, {3, 5});
  size_refused(apart, {{4, 9}}, "conv: the height of its input is 4, must be at least 5");
}

void test_refusals() {
  const auto bad = [](const std::string& part, auto change) { refused(network(), "conv: " + part, change); };
  const auto matrix = [](const char* which, std::int64_t rows, std::int64_t columns) {
    return [=](Draft& d) {
      d.array("conv", which) = values_of({rows, columns}, std::vector<float>(static_cast<std::size_t>(rows * columns), 1));
    };
  };
  bad("the number of columns of at is 1, must be 4, the rows of bt", matrix("at", 2, 1));
  bad("the number of rows of at is 8, must be 1..4", matrix("at", 8, 4));
  bad("the number of rows of at is 0, must be 1..4", matrix("at", 0, 4));
  bad("the number of rows of bt is 0, must be 1..26", matrix("bt", 0, 4));
  bad("the number of rows of bt is 27, must be 1..26", matrix("bt", 27, 4));
  bad("the number of columns of bt is 32, must be 1..26", matrix("bt", 4, 32));
  bad("stride is 0, must be 1..1024", [](Draft& d) { d("conv", "stride") = json(0); });
  bad("the number of rows of at is 2, must be 1..1", [](Draft& d) { d("conv", "stride") = json(4); });
  const auto entry = [](const char* array, std::size_t at, float value) {
    return [=](Draft& d) { d.array("conv", array).as<float>()[at] = value; };
  };
  bad("bt[0, 1] is 0.5, must be an integer", entry("bt", 1, 0.5F));
  bad("bt holds inf at position 3", entry("bt", 3, INFINITY));
  bad("at holds nan at position 1", entry("at", 1, NAN));
  bad("the absolute values of a row of bt sum to 3001, must be at most 2901", entry("bt", 0, 3000));
  bad("scale holds nan at position 4", entry("scale", 4, NAN));
  bad("bias holds nan at position 4", entry("bias", 4, NAN));
  const auto shape = [](const char* array, std::vector<std::int64_t> extents) {
    return [=](Draft& d) {
      Values& values = d.array("conv", array);
      values.bytes.resize(values.bytes.size() / static_cast<std::size_t>(element_count(values.shape)) *
                          static_cast<std::size_t>(element_count(extents)));
      values.shape = extents;
    };
  };
  bad("the number of taps of u is 4, must be 16, the square of the rows of bt", shape("u", {4, 5, 3}));
  bad("the number of output channels of u is 4, must be 5, the channels of y", shape("u", {16, 4, 3}));
  bad("the number of input channels of u is 2, must divide 3, the channels of x", shape("u", {16, 5, 2}));
  bad("the number of rows of mult is 15, must be 16", shape("mult", {15, 3}));
  bad("mult has 2 columns, must be 1 or 3, the channels of x", shape("mult", {16, 2}));
  bad("the number of rows of scale is 15, must be 16", shape("scale", {15, 5}));
  bad("the number of columns of scale is 4, must be 5", shape("scale", {16, 4}));
  for (const std::int32_t mult : {0, 32768, -1}) {
    bad("mult is " + std::to_string(mult) + ", must be 1..32767",
        [=](Draft& d) { d.array("conv", "mult").as<std::int32_t>()[3] = mult; });
  }
  bad("v_limit is 128, must be 1..127", [](Draft& d) { d("conv", "v_limit") = json(128); });
  bad("fraction_bits is 14, must be 15..31", [](Draft& d) { d("conv", "fraction_bits") = json(14); });
  bad("block is 4097, must be 0..4096", [](Draft& d) { d("conv", "block") = json(4097); });
  for (const char* const array : {"mult", "scale"})
    bad("integer weights need mult and scale", [=](Draft& d) { d.drop_array("conv", array); });
}

// The same convolution with matrices of whole tiles: Kronecker products of those of network().
Draft planar_network() {
  Draft d = network();
  for (const char* const array : {"bt", "at"}) {
    Values& one = d.array("conv", array);
    const std::int64_t rows = one.shape[0], cols = one.shape[1];
    std::vector<float> whole;
    for (std::int64_t row = 0; row < rows * rows; ++row) {
      for (std::int64_t col = 0; col < cols * cols; ++col)
        whole.push_back(one.as<float>()[row / rows * cols + col / cols] * one.as<float>()[row % rows * cols + col % cols]);
    }
    one = values_of({rows * rows, cols * cols}, whole);
  }
  d("conv", "planar") = json(true);
  return d;
}

void test_planar() {
  check_size(planar_network(), {{7, 9}}, {7, 9});
  const auto bad = [](const std::string& part, auto change) { refused(planar_network(), "conv: " + part, change); };
  const auto matrix = [](const char* which, std::int64_t rows, std::int64_t columns) {
    return [=](Draft& d) {
      d.array("conv", which) = values_of({rows, columns}, std::vector<float>(static_cast<std::size_t>(rows * columns), 1));
    };
  };
  bad("the number of columns of bt is 15, must be a square", matrix("bt", 16, 15));
  bad("the number of rows of at is 5, must be a square", matrix("at", 5, 16));
  bad("the number of rows of bt is 677, must be 1..676", matrix("bt", 677, 16));
  bad("the inputs of a side of a tile is 27, must be 1..26", matrix("bt", 16, 27 * 27));
  bad("the outputs of a side of a tile is 5, must be 1..4", matrix("at", 25, 16));
  bad("the number of taps of u is 16, must be 9, the rows of bt", [&](Draft& d) {
    matrix("bt", 9, 16)(d);
    matrix("at", 4, 9)(d);
  });
  bad("stride is 2, must be 1..1", [](Draft& d) { d("conv", "stride") = json(2); });
  refused(network(), "conv: the number of taps of u is 16, must be 256, the square of the rows of bt", [&](Draft& d) {
    const Draft whole = planar_network();
    d = whole;
    d("conv", "planar") = json(false);
  });
}

void test_words_and_floats() {
  const Draft words = network(Of::kWords), floats = network(Of::kFloats);
  refused(words, "conv: integer is false, must be true as the weights are int16", [](Draft& d) { d("conv", "integer") = json(false); });
  refused(words, "conv: v_limit is 32768, must be 1..32767", [](Draft& d) { d("conv", "v_limit") = json(32768); });
  refused(words, "must be at most 65538 to fit int32", [](Draft& d) {
    d("conv", "v_limit") = json(32767);
    std::fill_n(d.array("conv", "u").as<std::int16_t>(), 16 * 5 * 3, std::int16_t{32767});
  });
  refused(words, "conv: x is int16, must be uint8 as the weights are int8",
          [](Draft& d) { d.array("conv", "u") = values_of({16, 5, 3}, std::vector<std::int8_t>(240)); });
  refused(floats, "conv: x is float32, must be int16 as the weights are int16",
          [](Draft& d) { d.array("conv", "u") = values_of({16, 5, 3}, std::vector<std::int16_t>(240)); });
  refused(network(), "conv: x is uint8, must be float32 as the weights are float",
          [](Draft& d) { d.array("conv", "u") = values_of({16, 5, 3}, std::vector<float>(240)); });
  refused(floats, "conv: float weights take neither mult nor scale",
          [](Draft& d) { d.values["1.scale"] = values_of({16, 5}, std::vector<float>(80)); });
  refused(floats, "conv: u holds nan at position 2", [](Draft& d) { d.array("conv", "u").as<float>()[2] = NAN; });
  refused(floats, "conv: u holds nan, must be finite", [](Draft& d) {
    d.array("conv", "u") = values_of({16, 5, 3}, std::vector<std::uint16_t>(240, 0x7FC0));
  });
}

// 44149 weights of 127 fit what int32 accumulators take, one more does not.
void test_accumulators() {
  for (const std::int64_t channels : {44149, 44150}) {
    NetworkBuilder b(1);
    const std::int64_t x = b.draft.bytes(channels, -127), y = b.draft.floats(1);
    b.input("x", x);
    b.fast("conv", x, y);
    b.output("y", y);
    std::fill_n(b.draft.array("conv", "u").as<std::int8_t>(), 16 * channels, std::int8_t{127});
    const std::string words = refusal([&] { const Loaded loaded(b.draft); });
    CHECK(words.empty() == (channels == 44149), words);
    CHECK(words.empty() || words.find("must be at most 5607006 to fit int32") != std::string::npos, words);
  }
}

struct Layer {
  std::int64_t channels, filters, groups, dilation, height, width;
};
// Slices of one group and of several, whole panels and less; pixels apart, and so far that phases have a tile less.
constexpr Layer kLayers[] = {{32, 32, 2, 1, 9, 7},    {24, 24, 3, 1, 8, 11},  {160, 160, 2, 1, 5, 6}, {24, 40, 1, 2, 13, 10},
                             {16, 16, 1, 3, 7, 16},   {32, 64, 4, 2, 9, 8},   {6, 12, 2, 5, 12, 6},   {20, 48, 1, 6, 25, 30}};

void test_groups_and_dilation() {
  Random random(5);
  int turn = 0;
  for (const Layer& layer : kLayers) {
    for (const std::size_t which : {0, 1, 3}) {  // F2, F4, SFC6
      const BilinearCase& algorithm = kAlgorithms[which];
      for (const Dtype input : {Dtype::kUint8, Dtype::kInt16, Dtype::kFloat32}) {
        const std::int64_t images = 1 + ++turn % 2, pad = layer.dilation * (turn % 3);
        const std::int64_t height = layer.height + 2 * pad - 2 * layer.dilation,
                           width = layer.width + 2 * pad - 2 * layer.dilation;
        if (height < 1 || width < 1) continue;
        const bool floats = input == Dtype::kFloat32, words = input == Dtype::kInt16;
        const Store& store = kStores[floats ? 2 : turn % 5];
        Memory x(tensor(input, layer.height, layer.width, layer.channels, turn % 2 == 0), images, 0);
        fill(x, images, kFills[turn % 4], random);
        const TensorRef y = tensor(store.dtype, height, width, layer.filters, store.is_signed);
        Memory residual(tensor(kResiduals[turn % 3], height, width, layer.filters, true), images, 0);
        fill(residual, images, Fill::kRandom, random);
        const std::int64_t taps = algorithm.taps(), each = layer.channels / layer.groups;
        const auto count = static_cast<std::size_t>(taps * layer.filters * each);
        const std::int64_t limit = words ? 2047 : 127;
        const auto u8 = int8s(count, kFills[turn % 3], random);
        const auto u16 = int16s(count, kMaxInt32 / limit / each, kFills[turn % 3], random);
        const auto uf = testing::floats(count, 0.1F, random);
        FastConv conv{.x = &x.tensor, .y = &y, .m = algorithm.m, .r = algorithm.r, .n = algorithm.n, .stride = 1,
                      .pad_top = pad, .pad_left = pad, .groups = layer.groups, .dilation = layer.dilation,
                      .bt = algorithm.bt, .at = algorithm.at, .integer = true, .v_limit = limit, .fraction_bits = 15,
                      .mult = {}, .scale = {}, .u_int8 = {}, .u_int16 = {}, .u_bf16 = {}, .u_f32 = {},
                      .epilogue = epilogue(floats ? 0 : turn, &residual.tensor, layer.filters, random)};
        if (floats) conv.u_f32 = uf;
        if (words) conv.u_int16 = u16;
        if (input == Dtype::kUint8) conv.u_int8 = u8;
        if (!floats) {
          conv.scale = testing::floats(static_cast<std::size_t>(taps * layer.filters), words ? 1e-8F : 1e-4F, random);
          const std::int64_t columns = turn % 2 == 0 ? 1 : layer.channels;
          for (std::int64_t i = 0; i < taps * columns; ++i)
            conv.mult.push_back(std::uniform_int_distribution<std::int32_t>(1, 32767)(random));
        }
        compare(conv, images, floats ? 1e-3 : 0, std::string("groups or dilation, ") + algorithm.name + ", turn " + std::to_string(turn));
      }
    }
  }
}

}  // namespace

void test_fast() {
  test_groups_and_dilation();
  test_sizes();
  test_refusals();
  test_planar();
  test_words_and_floats();
  test_accumulators();
}

}  // namespace tilewise::testing
