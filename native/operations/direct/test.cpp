#include <algorithm>
#include <cmath>
#include <string>
#include <vector>

#include "tests/kernel_compare.h"
#include "tests/refusals.h"

namespace tilewise::testing {
namespace {

// 3x3 with padding 1, from 3 to 5 channels; floats if x is of floats.
Draft network(bool floats = false, std::int64_t kernel = 3) {
  NetworkBuilder b(1);
  const std::int64_t x = floats ? b.draft.floats(3) : b.draft.bytes(3), y = b.draft.bytes(5);
  b.input("x", x);
  b.direct("conv", x, y, kernel);
  b.output("y", y);
  return std::move(b.draft);
}

void test_sizes() {
  Draft d = network();
  check_size(d, {{7, 9}}, {7, 9});
  d("conv", "stride") = numbers({2, 1});
  check_size(d, {{7, 9}}, {4, 9});
  d("conv", "padding") = numbers({0, 2, 3, 0});  // above, below, left, right
  check_size(d, {{7, 9}}, {4, 10});
  d("conv", "padding") = numbers({0, 0, 0, 0}), d("conv", "dilation") = numbers({1, 2}), d("conv", "stride") = numbers({1, 3});
  check_size(d, {{3, 5}}, {1, 1});
  check_size(d, {{7, 12}}, {5, 3});
  size_refused(d, {{2, 5}}, "conv: the height of its input is 2, must be at least 3");
  size_refused(d, {{3, 4}}, "conv: the width of its input is 4, must be at least 5");
  Draft whole = network();
  whole("conv", "whole") = json(true), whole("conv", "padding") = numbers({0, 0, 0, 0});
  check_size(whole, {{3, 3}}, {1, 1});
  size_refused(whole, {{3, 4}}, "conv: its input has 3x4 pixels, must have 3x3");
}

void test_refusals() {
  const auto bad = [](const std::string& part, auto change) { refused(network(), "conv: " + part, change); };
  const auto shape = [](std::vector<std::int64_t> extents) {
    return [=](Draft& d) { d.array("conv", "weight").shape = extents; };
  };
  bad("the number of output channels of weight is 3, must be 5, the channels of y", shape({3, 3, 3, 5}));
  bad("the number of input channels of weight is 9, must divide 3, the channels of x", shape({5, 3, 1, 9}));
  bad("the number of input channels of weight is 0, must divide 3",
      [](Draft& d) { d.array("conv", "weight") = values_of({5, 3, 3, 0}, std::vector<std::int8_t>()); });
  bad("the channels of y are 5, must be a multiple of 3, the number of groups",
      [](Draft& d) { d.array("conv", "weight") = values_of({5, 3, 3, 1}, std::vector<std::int8_t>(45)); });
  bad("the height of the window is 0, must be 1..4096", [](Draft& d) { d.array("conv", "weight") = values_of({5, 0, 3, 3}, std::vector<std::int8_t>()); });
  bad("the width of the window is 4097, must be 1..4096",
      [](Draft& d) { d.array("conv", "weight") = values_of({5, 1, 4097, 3}, std::vector<std::int8_t>(5 * 4097 * 3)); });
  bad("stride is 0, must be 1..1024", [](Draft& d) { d("conv", "stride") = numbers({1, 0}); });
  bad("dilation is 1025, must be 1..1024", [](Draft& d) { d("conv", "dilation") = numbers({1025, 1}); });
  bad("padding is -1, must be 0..65536", [](Draft& d) { d("conv", "padding") = numbers({-1, 0, 0, 0}); });
  bad("the length of bias is 4, must be 5, the channels of y",
      [](Draft& d) { d.array("conv", "bias") = values_of(std::vector<float>(4)); });
  bad("bias holds nan at position 2, must be finite", [](Draft& d) { d.array("conv", "bias").as<float>()[2] = NAN; });
  bad("integer weights need a scale", [](Draft& d) { d.drop_array("conv", "scale"); });
  bad("the length of scale is 1, must be 5", [](Draft& d) { d.array("conv", "scale") = values_of(std::vector<float>(1)); });
  bad("scale holds inf at position 0", [](Draft& d) { d.array("conv", "scale").as<float>()[0] = INFINITY; });
  bad("the activation is limited to 1..0", [](Draft& d) { d("conv", "act_low") = json(1), d("conv", "act_high") = json(0); });
  const auto weights = [](auto zero) {
    return [=](Draft& d) { d.array("conv", "weight") = values_of({5, 3, 3, 3}, std::vector(135, zero)); };
  };
  bad("x is uint8, must be float32 as the weights are float32", weights(0.0F));
  bad("x is uint8, must be int16 as the weights are int16", weights(std::int16_t{0}));
  bad("x is uint8, must be bfloat16 as the weights are uint16", weights(std::uint16_t{0}));
  refused(network(true), "conv: x is float32, must be uint8 as the weights are int8", weights(std::int8_t{0}));
  refused(network(true), "conv: float weights take no scale", [](Draft& d) { d.values["1.scale"] = values_of(std::vector<float>(5)); });
  refused(network(true), "conv: weight holds -inf at position 7, must be finite",
          [](Draft& d) { d.array("conv", "weight").as<float>()[7] = -INFINITY; });
  refused(network(true), "conv: weight holds inf, must be finite", [&](Draft& d) {
    weights(std::uint16_t{0})(d);
    d.tensors()[0] = object({{"name", json("t")}, {"channels", json(3)}, {"dtype", json("bfloat16")}});
    d.array("conv", "weight").as<std::uint16_t>()[1] = 0x7F80;
  });
}

// The largest sums of weights that int32 accumulators can take, and one more. Those of words depend on their grid.
void test_accumulators() {
  for (const bool words : {false, true}) {
    for (const std::int64_t channels : words ? std::vector<std::int64_t>{512, 513} : std::vector<std::int64_t>{44149, 44150}) {
      NetworkBuilder b(1);
      const std::int64_t x = words ? b.draft.words(channels, -2047) : b.draft.bytes(channels, -127), y = b.draft.floats(1);
      b.input("x", x);
      b.direct("conv", x, y, 1);
      b.output("y", y);
      Values& weight = b.draft.array("conv", "weight");
      if (words) std::fill_n(weight.as<std::int16_t>(), channels, std::int16_t{-2047});
      if (!words) std::fill_n(weight.as<std::int8_t>(), channels, std::int8_t{-127});
      const std::string words_of_refusal = refusal([&] { const Loaded loaded(b.draft); });
      const bool fails = channels == 513 || channels == 44150;
      const std::string most = words ? "must be at most 1049088 to fit int32" : "must be at most 5607006 to fit int32";
      CHECK(words_of_refusal.empty() == !fails, words_of_refusal);
      CHECK(!fails || words_of_refusal.find(most) != std::string::npos, words_of_refusal);
    }
  }
}

struct Grouped {
  std::int64_t channels, filters, groups, height, width;
  Window window;
};
// Depthwise ones with every remainder of a block of channels, groups of whole vectors of filters and of less, windows
// of every kind of border, and what is larger than the image.
constexpr Grouped kGrouped[] = {
    {16, 16, 16, 8, 9, {3, 3, 1, 1, 1, 1, 1, 1}},   {5, 5, 5, 1, 1, {3, 3, 1, 1, 1, 1, 1, 1}},
    {72, 72, 72, 7, 6, {5, 5, 2, 2, 2, 2, 1, 1}},   {33, 33, 33, 9, 13, {3, 3, 1, 2, 2, 3, 2, 3}},
    {130, 130, 130, 3, 4, {7, 7, 1, 1, 3, 3, 1, 1}}, {48, 48, 48, 6, 5, {1, 4, 1, 1, 0, 1, 1, 1}},
    {3, 3, 3, 11, 4, {11, 1, 1, 1, 5, 0, 1, 1}},    {6, 12, 3, 5, 6, {3, 3, 1, 1, 1, 1, 1, 1}},
    {8, 6, 2, 6, 7, {2, 3, 2, 1, 0, 1, 1, 2}},      {64, 32, 2, 9, 5, {3, 3, 1, 1, 1, 1, 1, 1}},
    {40, 40, 5, 4, 9, {3, 3, 1, 1, 1, 1, 1, 1}},    {36, 192, 2, 12, 11, {3, 3, 1, 1, 1, 1, 1, 1}},
    {2, 32, 2, 8, 5, {1, 1, 1, 1, 0, 0, 1, 1}},     {10, 160, 10, 5, 5, {3, 1, 2, 2, 1, 0, 1, 1}},
};

void test_groups() {
  Random random(4);
  int turn = 0;
  for (const Grouped& layer : kGrouped) {
    for (const Dtype input : kInputs) {
      for (const Store& store : kStores) {
        const Window& w = layer.window;
        const std::int64_t images = 1 + ++turn % 2, narrow = turn % 3 == 0 ? 4 : 16;
        Memory x(tensor(input, layer.height, layer.width, layer.channels, turn % 2 == 0, narrow), images, 0);
        fill(x, images, kFills[turn % 4], random);
        const auto along = [](std::int64_t in, std::int64_t pad, std::int64_t taps, std::int64_t dilation, std::int64_t stride) {
          return (in + 2 * pad - dilation * (taps - 1) - 1) / stride + 1;
        };
        const TensorRef y = tensor(store.dtype, along(layer.height, w.pad_top, w.height, w.dilation_h, w.stride_h),
                                   along(layer.width, w.pad_left, w.width, w.dilation_w, w.stride_w), layer.filters,
                                   store.is_signed);
        Memory residual(tensor(kResiduals[turn % 3], y.height, y.width, y.channels, true), images, 0);
        fill(residual, images, Fill::kRandom, random);
        const std::int64_t sum_of = w.height * w.width * (layer.channels / layer.groups);
        const auto count = static_cast<std::size_t>(layer.filters * sum_of);
        const std::int64_t largest = std::max(-x.tensor.grid.low, x.tensor.grid.high);
        const auto w8 = int8s(count, kFills[turn % 3], random);
        const auto w16 = int16s(count, kMaxInt32 / largest / sum_of, kFills[turn % 3], random);
        const auto wf = floats(count, 0.1F, random);
        const auto wh = bf16s(wf);
        DirectConv conv{.x = &x.tensor, .y = &y, .window = w, .groups = layer.groups, .weight_int8 = {}, .weight_int16 = {},
                        .weight_bf16 = {}, .weight_f32 = {}, .scale = {}, .ordered = turn % 2 == 0,
                        .epilogue = epilogue(turn, &residual.tensor, layer.filters, random)};
        const bool integers = input == Dtype::kUint8 || input == Dtype::kInt16;
        if (integers) conv.scale = floats(static_cast<std::size_t>(layer.filters), input == Dtype::kUint8 ? 1e-4F : 1e-8F, random);
        if (input == Dtype::kUint8) conv.weight_int8 = w8;
        if (input == Dtype::kInt16) conv.weight_int16 = w16;
        if (input == Dtype::kBf16) conv.weight_bf16 = wh;
        if (input == Dtype::kFloat32) conv.weight_f32 = wf;
        const bool exact = integers || (conv.ordered && input == Dtype::kFloat32);
        if (!exact && store.dtype != Dtype::kFloat32) continue;  // a rounding error can move what is stored by a step
        compare(conv, images, exact ? 0 : 1e-5, "grouped, turn " + std::to_string(turn));
      }
    }
  }
}

// Sums far outside the grid, and what is no number, are stored as its ends by vectors and by what is left of them.
void test_far_off() {
  const float far[] = {NAN, -INFINITY, INFINITY, -3e9F, 3e9F, -1e30F, 1e30F, -40000, 40000, -0.4F, 0, 7.6F};
  for (const std::int64_t filters : {16, 32, 48, 64, 80}) {
    for (const bool is_signed : {false, true}) {
      Memory x(tensor(Dtype::kFloat32, 3, 4, 1, false), 1, 0);
      for (std::size_t i = 0; i < std::size(far); ++i)
        reinterpret_cast<float*>(x.tensor.data)[static_cast<std::int64_t>(i) * x.tensor.stride] = far[i];
      const TensorRef y = tensor(Dtype::kUint8, 3, 4, filters, is_signed);
      const std::vector<float> ones(static_cast<std::size_t>(filters), 1.0F), zeros(static_cast<std::size_t>(filters));
      Epilogue plain;
      plain.bias = zeros;
      const DirectConv conv{.x = &x.tensor, .y = &y, .window = {1, 1, 1, 1, 0, 0, 1, 1}, .groups = 1, .weight_int8 = {},
                            .weight_int16 = {}, .weight_bf16 = {}, .weight_f32 = ones, .scale = {}, .ordered = true,
                            .epilogue = plain};
      compare(conv, 1, 0, "far off, " + std::to_string(filters) + " filters");
    }
  }
}

}  // namespace

void test_direct() {
  test_far_off();
  test_groups();
  test_sizes();
  test_refusals();
  test_accumulators();
}

}  // namespace tilewise::testing
