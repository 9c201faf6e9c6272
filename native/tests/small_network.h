// A small network with every operation, of random weights: what the tests run, and break.
#pragma once

#include <bit>
#include <cmath>
#include <cstdint>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include "tests/program_builder.h"

namespace tilewise::testing {

// How an operation ends, as in operations/ending.h.
struct EndingFields {
  std::int64_t residual = kNoTensor;
  Json low = null(), high = null();
  std::string function = {};
};

// One dimension of an algorithm, or a planar one, in floats and in integers.
struct FastAlgorithm {
  std::string name;
  std::int64_t m, r, n, stride;
  std::vector<float> bt, at;
  std::int64_t dilation = 1, groups = 1;
  bool planar = false;

  std::int64_t side(std::int64_t size) const { return planar ? size * size : size; }  // of a matrix
  std::int64_t taps() const { return planar ? n : n * n; }
};
struct WrappingAlgorithm {
  std::string name = "F2";
  std::int64_t m = 2, r = 3, n = 4;
  std::vector<std::int32_t> at = {1, 1, 1, 0, 0, 1, -1, 1}, g = {2, 0, 0, 1, 1, 1, 1, -1, 1, 0, 0, 2},
                            bt = {1, 0, -1, 0, 0, 1, 1, 0, 0, -1, 1, 0, 0, -1, 0, 1};
  bool planar = false;

  std::int64_t side(std::int64_t size) const { return planar ? size * size : size; }
};

// Adds operations with random weights, and scales that keep the values of 8-bit tensors within their grids.
class NetworkBuilder {
 public:
  explicit NetworkBuilder(unsigned seed) : random_(seed) {}

  void input(const std::string& name, std::int64_t y, std::vector<float> mean = {}, std::vector<float> deviation = {}) {
    std::vector<std::pair<std::string, Values>> arrays;
    if (!mean.empty()) arrays = {{"mean", values_of(mean)}, {"deviation", values_of(deviation)}};
    draft.add("input", name, {{"y", json(y)}, {"size", numbers({0, 0})}, {"multiple", numbers({1, 1})}}, arrays);
  }
  // `axes` as the field of an output, or none for a map.
  void output(const std::string& name, std::int64_t x, const std::vector<std::int64_t>& axes = {}, std::int64_t values = 0,
              bool channels_last = false) {
    Named arrays;
    if (!axes.empty()) arrays.emplace_back("axes", values_of({static_cast<std::int64_t>(axes.size() / 4), 4}, axes));
    draft.add("output", name, {{"x", json(x)}, {"channels_last", json(channels_last)}, {"values", json(values)}}, arrays);
  }

  void direct(const std::string& name, std::int64_t x, std::int64_t y, std::int64_t kernel, const EndingFields& ending = {},
              bool whole = false, std::int64_t groups = 1) {
    const std::int64_t filters = channels(y), pad = kernel / 2;
    auto arrays = weights("weight", x, {filters, kernel, kernel, channels(x) / groups}, {filters});
    arrays.emplace_back("bias", bias(filters));
    add("direct", name, x, y,
        {{"stride", numbers({1, 1})}, {"padding", numbers({pad, pad, pad, pad})}, {"dilation", numbers({1, 1})},
         {"ordered", json(true)}, {"whole", json(whole)}},
        ending, arrays);
  }

  // F(2,3), with stride 2 of 2 + 1 taps. `halves`: in bfloat16, if x is of floats.
  void fast(const std::string& name, std::int64_t x, std::int64_t y, std::int64_t stride = 1, const EndingFields& ending = {},
            bool halves = false) {
    const std::vector<float> two = {-1, 0, 1, 0, 0, 0, 0, 1, 0, 0, 0, 0, -1, 0, 1, 0, 1, 0, 0, 0, 0, 0, 0, 1, 0};
    if (stride == 2) return fast_by(name, x, y, {"F2", 2, 3, 5, 2, two, {1, 1, 0, 1, 0, 0, 1, 1, 0, 1}}, ending, halves);
    fast_by(name, x, y, f2(), ending, halves);
  }
  static FastAlgorithm f2(std::int64_t dilation = 1, std::int64_t groups = 1) {
    return {"F2", 2, 3, 4, 1, {1, 0, -1, 0, 0, 1, 1, 0, 0, -1, 1, 0, 0, 1, 0, -1}, {1, 1, 1, 0, 0, 1, -1, -1}, dilation, groups};
  }
  void fast_by(const std::string& name, std::int64_t x, std::int64_t y, const FastAlgorithm& algorithm,
               const EndingFields& ending = {}, bool halves = false) {
    const std::int64_t n = algorithm.n, t = algorithm.stride * (algorithm.m - 1) + algorithm.r, pad = algorithm.r / 2 * algorithm.dilation;
    const std::int64_t filters = channels(y);
    const std::int64_t taps = algorithm.taps();
    auto arrays = weights("u", x, {taps, filters, channels(x) / algorithm.groups}, {taps, filters}, halves);
    if (dtype(x) != "float32") {
      std::vector<std::int32_t> mult;
      for (std::int64_t i = 0; i < taps * channels(x); ++i) mult.push_back(static_cast<std::int32_t>(random_() % 24000 + 8000));
      arrays.emplace_back("mult", values_of({taps, channels(x)}, mult));
    }
    arrays.emplace_back("bt", values_of({n, algorithm.side(t)}, algorithm.bt));
    arrays.emplace_back("at", values_of({algorithm.side(algorithm.m), n}, algorithm.at));
    arrays.emplace_back("bias", bias(filters));
    add("fast", name, x, y,
        {{"algorithm", json(algorithm.name)}, {"planar", json(algorithm.planar)}, {"integer", json(true)}, {"v_limit", json(dtype(x) == "int16" ? 2047 : 127)},
         {"fraction_bits", json(15)}, {"stride", json(algorithm.stride)}, {"dilation", json(algorithm.dilation)},
         {"padding", numbers({pad, pad, pad, pad})}, {"block", json(0)}},
        ending, arrays);
  }

  // F(2,3) in integers, twice the convolution, unless another algorithm is given.
  void wrapping(const std::string& name, std::int64_t x, std::int64_t y, const EndingFields& ending = {},
                const WrappingAlgorithm& algorithm = {}) {
    const std::int64_t m = algorithm.m, r = algorithm.r, n = algorithm.n;
    auto arrays = lossless_arrays(x, y, r);
    arrays.insert(arrays.end(), {{"at", values_of({algorithm.side(m), n}, algorithm.at)},
                                 {"g", values_of({n, algorithm.side(r)}, algorithm.g)},
                                 {"bt", values_of({n, algorithm.side(m + r - 1)}, algorithm.bt)}});
    auto fields = lossless_fields(algorithm.name, r);
    fields.emplace_back("planar", json(algorithm.planar));
    add("wrapping", name, x, y, std::move(fields), ending, arrays);
  }
  void residue(const std::string& name, std::int64_t x, std::int64_t y, std::int64_t m, const std::vector<std::int64_t>& moduli,
               const EndingFields& ending = {}, std::int64_t r = 3) {
    auto arrays = lossless_arrays(x, y, r);
    arrays.emplace_back("moduli", values_of(moduli));
    auto fields = lossless_fields("F(" + std::to_string(m) + ", " + std::to_string(r) + ")", r);
    fields.emplace_back("m", json(m));
    add("residue", name, x, y, std::move(fields), ending, arrays);
  }

  void eltwise(const std::string& name, std::int64_t x, std::int64_t y, const EndingFields& ending = {}) {
    add("eltwise", name, x, y, {}, ending, {{"scale", values_of(std::vector<float>(size(channels(y)), 0.5F))}});
  }
  void binary(const std::string& name, const char* kind, std::int64_t a, std::int64_t b, std::int64_t y,
              const EndingFields& ending = {}) {
    draft.add("binary", name, ended({{"x", numbers({a, b})}, {"y", json(y)}, {"kind", json(kind)}}, ending));
  }
  void reduce(const std::string& name, const char* kind, bool over_channels, std::int64_t x, std::int64_t y,
              const EndingFields& ending = {}) {
    add("reduce", name, x, y, {{"kind", json(kind)}, {"channels", json(over_channels)}}, ending, {});
  }
  void norm(const std::string& name, std::int64_t x, std::int64_t y, std::int64_t groups, const EndingFields& ending = {}) {
    add("norm", name, x, y, {{"groups", json(groups)}, {"eps", json(1e-5)}}, ending,
        {{"scale", values_of(std::vector<float>(size(channels(y)), 0.5F))}});
  }
  void softmax(const std::string& name, std::int64_t x, std::int64_t y) {
    draft.add("softmax", name, {{"x", json(x)}, {"y", json(y)}});
  }
  void pool(const std::string& name, std::int64_t x, std::int64_t y, bool maximum, std::int64_t kernel, std::int64_t stride,
            std::int64_t padding) {
    draft.add("pool", name,
              {{"x", json(x)}, {"y", json(y)}, {"maximum", json(maximum)}, {"kernel", numbers({kernel, kernel})},
               {"stride", numbers({stride, stride})}, {"padding", numbers({padding, padding})}, {"ceil", json(false)},
               {"count_padding", json(true)}, {"divisor", json(0)}});
  }
  void adaptive_pool(const std::string& name, std::int64_t x, std::int64_t y, std::int64_t height, std::int64_t width) {
    draft.add("adaptive_pool", name,
              {{"x", json(x)}, {"y", json(y)}, {"maximum", json(false)}, {"size", numbers({height, width})}});
  }
  // Side by side. Rows and columns are moved alike; `moves` has five numbers for each, so has `of_channels`.
  void gather(const std::string& name, const std::vector<std::int64_t>& x, std::int64_t y, const std::vector<std::int64_t>& moves,
              const std::vector<std::int64_t>& of_channels = {}, std::int64_t like = kNoTensor) {
    std::vector<std::int64_t> first;
    for (std::int64_t begin = 0; const std::int64_t tensor : x) first.push_back(begin), begin += channels(tensor);
    draft.add("gather", name, {{"x", numbers(x)}, {"like", tensor_or_null(like)}, {"y", json(y)}, {"axis", json(0)}},
              {{"first", values_of(first)}, {"rows", moves_of(moves)}, {"cols", moves_of(moves)}, {"channels", moves_of(of_channels)}});
  }
  // One below the other, or beside it as columns: `axis` is 1 or 2.
  void stack(const std::string& name, const std::vector<std::int64_t>& x, std::int64_t y, std::int64_t axis) {
    draft.add("gather", name, {{"x", numbers(x)}, {"like", null()}, {"y", json(y)}, {"axis", json(axis)}},
              {{"first", values_of(std::vector<std::int64_t>(x.size(), 0))}, {"rows", moves_of({})}, {"cols", moves_of({})},
               {"channels", moves_of({})}});
  }
  // `digits` has two numbers for each; `axes` are channels, rows and columns of y.
  void rearrange(const std::string& name, std::int64_t x, std::int64_t y, const std::vector<std::int64_t>& digits,
                 const std::vector<std::vector<std::int64_t>>& axes) {
    draft.add("rearrange", name, {{"x", json(x)}, {"y", json(y)}},
              {{"digits", values_of({static_cast<std::int64_t>(digits.size() / 2), 2}, digits)}, {"channels", values_of(axes[0])},
               {"rows", values_of(axes[1])}, {"cols", values_of(axes[2])}});
  }
  void pixel_shuffle(const std::string& name, std::int64_t x, std::int64_t y, std::int64_t factor) {
    draft.add("pixel_shuffle", name, {{"x", json(x)}, {"y", json(y)}, {"factor", json(factor)}});
  }
  void resize(const std::string& name, std::int64_t x, std::int64_t y, const std::vector<std::int64_t>& size,
              std::int64_t like = kNoTensor, double factor = 0, std::int64_t mode = 0) {
    draft.add("resize", name,
              {{"x", json(x)}, {"like", tensor_or_null(like)}, {"y", json(y)}, {"size", numbers(size)},
               {"row_scale", json(factor)}, {"col_scale", json(factor)}, {"mode", json(mode)}, {"align_corners", json(false)}});
  }

  bool is_float(std::int64_t number) { return dtype(number) == "float32"; }

  Draft draft;

 private:
  using Named = std::vector<std::pair<std::string, Values>>;

  static Values moves_of(const std::vector<std::int64_t>& moves) {
    return values_of({static_cast<std::int64_t>(moves.size() / 5), 5}, moves);
  }
  static Json tensor_or_null(std::int64_t tensor) { return tensor == kNoTensor ? null() : json(tensor); }
  static std::size_t size(std::int64_t count) { return static_cast<std::size_t>(count); }
  Json& tensor(std::int64_t number) { return draft.tensors()[size(number)]; }
  std::int64_t channels(std::int64_t number) { return Draft::field(tensor(number), "channels").integer; }
  std::string dtype(std::int64_t number) { return Draft::field(tensor(number), "dtype").text; }

  void add(const char* kind, const std::string& name, std::int64_t x, std::int64_t y, std::vector<Json::Member> fields,
           const EndingFields& ending, const Named& arrays) {
    fields.insert(fields.end(), {{"x", json(x)}, {"y", json(y)}});
    draft.add(kind, name, ended(std::move(fields), ending), arrays);
  }
  static std::vector<Json::Member> ended(std::vector<Json::Member> fields, const EndingFields& ending) {
    fields.insert(fields.end(), {{"residual", tensor_or_null(ending.residual)}, {"act_low", ending.low},
                                 {"act_high", ending.high}, {"function", json(ending.function)}});
    return fields;
  }

  static std::vector<Json::Member> lossless_fields(const std::string& algorithm, std::int64_t r) {
    const std::int64_t pad = r / 2;
    return {{"algorithm", json(algorithm)}, {"padding", numbers({pad, pad, pad, pad})}, {"block", json(0)}};
  }
  Named lossless_arrays(std::int64_t x, std::int64_t y, std::int64_t r) {
    Named arrays = weights("weight", x, {channels(y), r, r, channels(x)}, {channels(y)});
    arrays.emplace_back("bias", bias(channels(y)));
    return arrays;
  }

  Values bias(std::int64_t filters) {
    std::vector<float> values;
    for (std::int64_t i = 0; i < filters; ++i) values.push_back(0.1F * normal_(random_));
    return values_of(values);
  }

  // Weights of the type that x asks for, and for integers the scale, whose number of values is that of their rows.
  Named weights(const char* field, std::int64_t x, const std::vector<std::int64_t>& shape,
                const std::vector<std::int64_t>& rows, bool halves = false) {
    const bool words = dtype(x) == "int16", integers = words || dtype(x) == "uint8";
    const std::int64_t count = element_count(shape), scales = element_count(rows), inputs = count / scales;
    const auto deviation = 1 / std::sqrt(static_cast<float>(inputs));
    std::vector<std::int8_t> int8;
    std::vector<std::int16_t> int16;
    std::vector<float> real;
    std::vector<std::uint16_t> half;
    for (std::int64_t i = 0; i < count; ++i) {
      const int weight = static_cast<int>(random_() % 255) - 127;
      int8.push_back(static_cast<std::int8_t>(weight)), int16.push_back(static_cast<std::int16_t>(weight * 9));
      real.push_back(deviation * normal_(random_));
      half.push_back(static_cast<std::uint16_t>(std::bit_cast<std::uint32_t>(real.back()) >> 16));
    }
    if (!integers) return {{field, halves || dtype(x) == "bfloat16" ? values_of(shape, half) : values_of(shape, real)}};
    const auto step = static_cast<float>(Draft::field(tensor(x), "step").real);
    std::vector<float> scale;
    for (std::int64_t i = 0; i < scales; ++i)
      scale.push_back(step / (words ? 675.0F : 75.0F) * deviation * (0.75F + 0.5F * std::abs(normal_(random_))));
    return {{field, words ? values_of(shape, int16) : values_of(shape, int8)}, {"scale", values_of(rows, scale)}};
  }

  std::mt19937 random_;
  std::normal_distribution<float> normal_;
};

inline constexpr std::int64_t kNoEnd = std::int64_t{1} << 48;  // of a slice: the image's
inline constexpr std::int64_t kImageChannels = 3, kGuideChannels = 20, kLogits = 10, kMapChannels = 3;

// Two inputs, "image" and "guide", of any one size from 2x2 on; two outputs, "logits" [N, 10] and "map", 3 channels of
// bytes in the size of the image. Every operation once or more. `agreeing`: only what gives the same bits on every kernel
// set, that is, no float convolution that may fuse.
inline Draft small_network(bool agreeing) {
  NetworkBuilder b(7);
  Draft& d = b.draft;
  const std::int64_t image = d.bytes(kImageChannels, -127), guide = d.floats(kGuideChannels), stem = d.bytes(20);
  b.input("image", image, {10, 20, 30}, {40, 50, 60});
  b.input("guide", guide);
  b.direct("stem", image, stem, 3, {.low = json(0)});
  const std::int64_t skip = d.bytes(20), inner = d.bytes(20, -127), sum = d.bytes(20);
  b.eltwise("skip", stem, skip, {.residual = guide, .high = json(2)});
  b.fast("inner", stem, inner, 1, {.function = "silu"});
  b.fast("sum", inner, sum, 1, {.residual = skip, .low = json(0), .high = json(2.25)});
  const std::int64_t pooled = d.bytes(20), strided = d.bytes(17), wrapped = d.bytes(19, -127), residues = d.bytes(17);
  b.pool("pooled", sum, pooled, true, 3, 2, 1);
  b.fast("strided", sum, strided, 2, {.low = json(0)});
  b.wrapping("wrapped", strided, wrapped, {.low = json(0)});
  b.residue("residues", wrapped, residues, 4, {8191, 8189});
  const std::int64_t grouped = d.bytes(34, -127), apart = d.bytes(34), each = d.bytes(34);
  b.direct("grouped", residues, grouped, 1, {}, false, 17);
  b.fast_by("apart", grouped, apart, NetworkBuilder::f2(2, 2));
  b.direct("each", apart, each, 3, {}, false, 34);
  const std::int64_t both = d.bytes(54), words = d.words(6), more_words = d.words(9, -2047), real = d.floats(5);
  b.gather("both", {pooled, each}, both, {0, 0, 0, 1, 0, 1, 0, 0, 1, 0});  // a row and a column of zeros after
  b.direct("words", both, words, 1);
  b.fast("more_words", words, more_words);
  b.direct("real", more_words, real, 3, {.function = "gelu"});
  const std::int64_t wide = d.floats(12), shuffled = d.floats(3), map = d.bytes(kMapChannels, -127), resized = d.bytes(3, -127);
  if (agreeing) b.direct("wide", real, wide, 3);
  if (!agreeing) b.fast("wide", real, wide);
  b.pixel_shuffle("shuffled", wide, shuffled, 2);
  b.resize("map", shuffled, map, {0, 0}, stem);
  b.resize("resized", shuffled, resized, {5, 5});
  const std::int64_t repeated = d.bytes(3), mean = d.floats(3), average = d.floats(3), joined = d.floats(3);
  b.gather("repeated", {resized}, repeated, {0, 1, 2, 0, 0, 0, 2, 0, -1, 2});  // twice each, then every other one
  const std::int64_t turned = d.bytes(3, -127), stacked = d.bytes(3, -127), picked = d.bytes(4, -127), cubic = d.bytes(4, -127);
  const std::int64_t near = d.floats(3), columns = d.bytes(2, -127);
  b.rearrange("turned", resized, turned, {0, 3, 1, 0, 2, 0}, {{0}, {2}, {1}});  // rows and columns change places
  b.stack("stacked", {turned, resized}, stacked, 1);
  // The last two channels, each twice; these, rows and columns from the last one on.
  b.gather("picked", {stacked}, picked, {0, 3, 0, 0, 0}, {0, 2, -2, kNoEnd, 1, 0, 1, 2, 0, 0, 0, 3, 0, 0, 0});
  b.resize("cubic", picked, cubic, {7, 3}, kNoTensor, 0, 3);
  const std::int64_t cropped = d.bytes(4, -127);
  b.gather("cropped", {cubic}, cropped, {0, 4, 0, 0, 0}, {}, resized);
  b.rearrange("columns", cubic, columns, {0, 2, 0, 2, 1, 0, 2, 0}, {{1}, {2}, {3, 0}});
  b.resize("near", resized, near, {0, 0}, kNoTensor, 0.75, 1);
  b.pool("mean", resized, mean, false, 5, 5, 0);
  b.adaptive_pool("average", repeated, average, 1, 1);
  b.eltwise("joined", mean, joined, {.residual = average});
  const std::int64_t gate = d.floats(3), gated = d.bytes(3, -127), normal = d.floats(3), length = d.floats(1);
  const std::int64_t scaled = d.floats(3), shares = d.floats(3);
  b.eltwise("gate", joined, gate, {.function = "sigmoid"});
  b.binary("gated", "multiply", repeated, gate, gated);
  b.norm("normal", gated, normal, 3, {.function = "mish"});
  b.reduce("length", "sum", true, normal, length, {.low = json(1)});
  b.binary("scaled", "divide", normal, length, scaled);
  b.softmax("shares", scaled, shares);
  const std::int64_t weighted = d.floats(3);
  b.reduce("weighted", "mean", false, shares, weighted, {.residual = joined});
  const std::int64_t half = d.halves(3), logits = d.floats(kLogits);
  b.eltwise("half", weighted, half);
  b.direct("logits", agreeing ? weighted : half, logits, 1, {}, true);
  b.output("logits", logits, {kLogits, 1, 1, 1}, kLogits);
  b.output("map", map);
  return std::move(d);
}

}  // namespace tilewise::testing
