// A small network as plain data: every call of the plan builder with its numbers and arrays, so that tests
// can build it, and the fuzzer can break it. It has every operation, memory that is used twice, odd sizes and
// both data types.
#pragma once

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstdint>
#include <limits>
#include <optional>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include "engine/plan.h"

namespace tilewise::testing {

enum class Kind {
  kImport, kExport, kDirect, kFast, kExact, kResidue, kPool, kEltwise, kGather, kPixelShuffle, kResize
};

// One call of the builder. Each kind uses the fields that the builder's method of that name takes.
struct OpCall {
  Kind kind = Kind::kImport;
  std::string name;
  std::int64_t x = 0, y = 0, residual = -1;  // -1: none
  bool flag = true;                          // unfused, integer, maximum, clear
  Dtype input = Dtype::kUint8;               // what the weights are for: int8, int16, bf16, float
  std::vector<std::int64_t> shape;           // of the weights
  std::vector<std::int8_t> weight_int8;
  std::vector<std::int16_t> weight_int16;
  std::vector<std::uint16_t> weight_bf16;
  std::vector<float> weight_f32, scale, bias, bt, at, row_weights, col_weights;
  std::vector<std::int32_t> mult, integers;  // integers: at, g and bt of an exact convolution, each [n][..]
  std::vector<std::int64_t> rows, cols;      // rows of a residue convolution: its moduli
  std::int64_t stride = 1, pad_top = 0, pad_left = 0, dilation = 1;
  std::int64_t m = 2, n = 4, columns = 1;  // columns of mult
  std::int64_t v_limit = 127, fraction_bits = 15;
  std::int64_t number = 0;  // divisor, first, factor
  float low = -std::numeric_limits<float>::infinity(), high = std::numeric_limits<float>::infinity();
};

struct Network {
  std::int64_t batch = 1, arena_bytes = 1;
  std::vector<TensorSpec> tensors;
  std::vector<OpCall> calls;
};

inline FloatVector view(const std::vector<float>& values) {
  return {values.data(), {static_cast<std::int64_t>(values.size())}};
}
inline IndexVector view(const std::vector<std::int64_t>& values) {
  return {values.data(), {static_cast<std::int64_t>(values.size())}};
}
inline SpanList pairs(const std::vector<std::int64_t>& values) {
  return {values.data(), {static_cast<std::int64_t>(values.size() / 2), 2}};
}
inline std::optional<FloatVector> optional_view(const std::vector<float>& values) {
  return values.empty() ? std::nullopt : std::optional(view(values));
}

template <typename T>
TensorView<const T, 2> matrix(const std::vector<T>& values, std::int64_t rows) {
  return {values.data(), {rows, rows > 0 ? static_cast<std::int64_t>(values.size()) / rows : 0}};
}

inline void add_direct(Plan& plan, const Wiring& wiring, const OpCall& call) {
  const Shape<4> shape{call.shape[0], call.shape[1], call.shape[2], call.shape[3]};
  DirectSpec spec{.weight = TensorView<const float, 4>{call.weight_f32.data(), shape},
                  .scale = optional_view(call.scale),
                  .bias = view(call.bias),
                  .window = {.stride_h = call.stride,
                             .stride_w = call.stride,
                             .pad_top = call.pad_top,
                             .pad_left = call.pad_left,
                             .dilation_h = call.dilation,
                             .dilation_w = call.dilation},
                  .activation = {call.low, call.high},
                  .unfused = call.flag};
  if (call.input == Dtype::kUint8)
    spec.weight = TensorView<const std::int8_t, 4>{call.weight_int8.data(), shape};
  if (call.input == Dtype::kInt16)
    spec.weight = TensorView<const std::int16_t, 4>{call.weight_int16.data(), shape};
  if (call.input == Dtype::kBf16)
    spec.weight = TensorView<const std::uint16_t, 4>{call.weight_bf16.data(), shape};
  plan.direct(wiring, spec);
}

inline void add_fast(Plan& plan, const Wiring& wiring, const OpCall& call) {
  const Shape<3> shape{call.shape[0], call.shape[1], call.shape[2]};
  FastSpec spec{.algorithm = "test",
                .bt = matrix(call.bt, call.n),
                .at = matrix(call.at, call.m),
                .integer = call.flag,
                .u = TensorView<const float, 3>{call.weight_f32.data(), shape},
                .mult = std::nullopt,
                .scale = std::nullopt,
                .v_limit = call.v_limit,
                .fraction_bits = static_cast<int>(call.fraction_bits),
                .bias = view(call.bias),
                .stride = call.stride,
                .pad_top = call.pad_top,
                .pad_left = call.pad_left,
                .activation = {call.low, call.high}};
  if (call.input == Dtype::kUint8) spec.u = TensorView<const std::int8_t, 3>{call.weight_int8.data(), shape};
  if (call.input == Dtype::kInt16)
    spec.u = TensorView<const std::int16_t, 3>{call.weight_int16.data(), shape};
  if (call.input == Dtype::kBf16) spec.u = TensorView<const std::uint16_t, 3>{call.weight_bf16.data(), shape};
  if (!call.mult.empty())
    spec.mult = matrix(call.mult, static_cast<std::int64_t>(call.mult.size()) / call.columns);
  if (!call.scale.empty()) spec.scale = matrix(call.scale, call.shape[0]);
  plan.fast(wiring, spec);
}

inline IntegerSpec integer_spec(const OpCall& call) {
  return {.algorithm = "test",
          .weight = {call.weight_int8.data(), {call.shape[0], call.shape[1], call.shape[2], call.shape[3]}},
          .scale = view(call.scale),
          .bias = view(call.bias),
          .pad_top = call.pad_top,
          .pad_left = call.pad_left,
          .activation = {call.low, call.high},
          .block = call.number};
}

// A^T, G and B^T one after the other: m rows, then n of r and n of t columns.
struct ExactParts {
  TensorView<const std::int32_t, 2> at, g, bt;
};
inline std::int64_t exact_inputs(const OpCall& call) {
  return std::max<std::int64_t>(0, call.m + call.shape[1] - 1);
}
inline ExactParts exact_parts(const OpCall& call) {
  const std::int64_t r = call.shape[1], t = exact_inputs(call);
  const std::int32_t* const g = call.integers.data() + call.m * call.n;
  return {{call.integers.data(), {call.m, call.n}}, {g, {call.n, r}}, {g + call.n * r, {call.n, t}}};
}

inline void add(Plan& plan, const OpCall& call) {
  const Wiring wiring{.name = call.name,
                      .x = call.x,
                      .y = call.y,
                      .residual = call.residual == -1 ? std::nullopt : std::optional(call.residual)};
  switch (call.kind) {
    case Kind::kImport: return plan.import_nchw(call.name, call.y);
    case Kind::kExport: return plan.export_nchw(call.name, call.x);
    case Kind::kDirect: return add_direct(plan, wiring, call);
    case Kind::kFast: return add_fast(plan, wiring, call);
    case Kind::kExact: {
      const ExactParts parts = exact_parts(call);
      return plan.exact(wiring, {integer_spec(call), parts.at, parts.g, parts.bt});
    }
    case Kind::kResidue: return plan.residue(wiring, {integer_spec(call), call.m, view(call.rows)});
    case Kind::kPool: return plan.pool(wiring, {call.flag, pairs(call.rows), pairs(call.cols), call.number});
    case Kind::kEltwise:
      return plan.eltwise(wiring,
                          {optional_view(call.scale), optional_view(call.bias), {call.low, call.high}});
    case Kind::kGather:
      return plan.gather(wiring, {view(call.rows), view(call.cols), call.number, call.flag});
    case Kind::kPixelShuffle: return plan.pixel_shuffle(wiring, call.number);
    case Kind::kResize:
      return plan.resize(
          wiring, {pairs(call.rows), pairs(call.cols), view(call.row_weights), view(call.col_weights)});
  }
}

inline Plan build(const Network& network) {
  Plan plan(network.batch, network.arena_bytes);
  for (const TensorSpec& tensor : network.tensors) plan.add_tensor(tensor);
  for (const OpCall& call : network.calls) add(plan, call);
  return plan;
}

// Puts networks together. Random weights; scales that keep the values of 8-bit tensors within their grids.
class Builder {
 public:
  Builder(std::int64_t batch, unsigned seed) : random_(seed) { network_.batch = batch; }

  std::int64_t bytes(std::int64_t height, std::int64_t width, std::int64_t channels, std::int64_t low) {
    return add(height, width, channels, Dtype::kUint8, low, 16);
  }
  std::int64_t words(std::int64_t height, std::int64_t width, std::int64_t channels, std::int64_t low) {
    return add(height, width, channels, Dtype::kInt16, low, 16);
  }
  std::int64_t halves(std::int64_t height, std::int64_t width, std::int64_t channels) {
    return add(height, width, channels, Dtype::kBf16, 0, 16);
  }
  std::int64_t floats(std::int64_t height, std::int64_t width, std::int64_t channels) {
    return add(height, width, channels, Dtype::kFloat32, 0, 16);
  }
  std::int64_t input(std::int64_t height, std::int64_t width, std::int64_t channels) {
    return add(height, width, channels, Dtype::kUint8, -127, 4);
  }
  // From here on, new tensors lie where `tensor` and those after it were.
  void reuse(std::int64_t tensor) { end_ = at(tensor).offset; }

  OpCall& call(Kind kind, std::int64_t x, std::int64_t y) {
    const std::string name = "op" + std::to_string(network_.calls.size());
    OpCall& added = network_.calls.emplace_back();
    added.kind = kind, added.name = name, added.x = x, added.y = y;
    return added;
  }
  OpCall& direct(std::int64_t x, std::int64_t y, std::int64_t kernel, std::int64_t stride, std::int64_t pad) {
    OpCall& c = call(Kind::kDirect, x, y);
    c.stride = stride, c.pad_top = c.pad_left = pad;
    c.shape = {at(y).channels, kernel, kernel, at(x).channels};
    weights(c, at(x), at(y).channels, kernel * kernel * at(x).channels, 1);
    return c;
  }
  OpCall& fast(std::int64_t x, std::int64_t y, std::int64_t pad, std::int64_t stride = 1);
  // F2 in integers, twice the convolution.
  OpCall& exact(std::int64_t x, std::int64_t y) {
    OpCall& c = direct(x, y, 3, 1, 1);
    c.kind = Kind::kExact;
    c.integers = {1, 1, 1,  0, 0, 1, -1, 1,                          // A^T
                  2, 0, 0,  1, 1, 1, 1,  -1, 1, 0, 0, 2,              // G
                  1, 0, -1, 0, 0, 1, 1,  0,  0, -1, 1, 0, 0, -1, 0, 1};  // B^T
    return c;
  }
  OpCall& residue(std::int64_t x, std::int64_t y, std::int64_t m, const std::vector<std::int64_t>& moduli) {
    OpCall& c = direct(x, y, 3, 1, 1);
    c.kind = Kind::kResidue;
    c.m = m, c.rows = moduli;
    return c;
  }
  OpCall& identity_gather(std::int64_t x, std::int64_t y, std::int64_t first, bool clear) {
    OpCall& c = call(Kind::kGather, x, y);
    for (std::int64_t i = 0; i < at(y).height; ++i) c.rows.push_back(i < at(x).height ? i : -1);
    for (std::int64_t j = 0; j < at(y).width; ++j) c.cols.push_back(j < at(x).width ? j : -1);
    c.number = first, c.flag = clear;
    return c;
  }
  OpCall& pool(std::int64_t x, std::int64_t y, bool maximum, std::int64_t size, std::int64_t stride) {
    OpCall& c = call(Kind::kPool, x, y);
    c.flag = maximum;
    for (std::int64_t i = 0; i < at(y).height; ++i) {
      c.rows.insert(c.rows.end(), {i * stride, std::min(i * stride + size, at(x).height)});
    }
    for (std::int64_t j = 0; j < at(y).width; ++j) {
      c.cols.insert(c.cols.end(), {j * stride, std::min(j * stride + size, at(x).width)});
    }
    return c;
  }

  Network take() {
    network_.arena_bytes = largest_;
    return std::move(network_);
  }

 private:
  const TensorSpec& at(std::int64_t tensor) const {
    return network_.tensors[static_cast<std::size_t>(tensor)];
  }

  std::int64_t add(std::int64_t height, std::int64_t width, std::int64_t channels, Dtype dtype,
                   std::int64_t low, std::int64_t multiple) {
    const float step = dtype == Dtype::kInt16 ? 0.0012f : low == 0 ? 0.01f : 0.02f;
    const std::int64_t stride = (channels + multiple - 1) / multiple * multiple;
    network_.tensors.push_back({.height = height,
                                .width = width,
                                .channels = channels,
                                .stride = stride,
                                .offset = end_,
                                .dtype = dtype,
                                .grid = {.step = step,
                                         .factor = 1 / step,
                                         .low = static_cast<std::int32_t>(low),
                                         .high = dtype == Dtype::kInt16 ? 2047
                                                 : low == 0             ? 255
                                                                        : 127}});
    const std::int64_t bytes = network_.batch * height * width * stride * bytes_of(dtype);
    end_ = (end_ + bytes + 63) / 64 * 64;
    largest_ = std::max(largest_, end_);
    return static_cast<std::int64_t>(network_.tensors.size()) - 1;
  }

  void weights(OpCall& c, const TensorSpec& x, std::int64_t filters, std::int64_t inputs, std::int64_t taps) {
    c.input = x.dtype;
    const bool integers = c.input == Dtype::kUint8 || c.input == Dtype::kInt16;
    std::normal_distribution<float> normal;
    const auto deviation = 1 / std::sqrt(static_cast<float>(inputs));
    for (std::int64_t i = 0; i < filters * inputs * taps; ++i) {
      const int weight = static_cast<int>(random_() % 255) - 127;
      if (c.input == Dtype::kUint8) c.weight_int8.push_back(static_cast<std::int8_t>(weight));
      if (c.input == Dtype::kInt16) c.weight_int16.push_back(static_cast<std::int16_t>(weight * 9));
      if (!integers) c.weight_f32.push_back(deviation * normal(random_));
      if (c.input == Dtype::kBf16) {
        c.weight_bf16.push_back(
            static_cast<std::uint16_t>(std::bit_cast<std::uint32_t>(c.weight_f32.back()) >> 16));
      }
    }
    const float typical = c.input == Dtype::kInt16 ? 75 * 9 : 75;
    for (std::int64_t i = 0; integers && i < filters * taps; ++i) {
      c.scale.push_back(x.grid.step / typical * deviation * (0.75f + 0.5f * std::abs(normal(random_))));
    }
    for (std::int64_t i = 0; i < filters; ++i) c.bias.push_back(0.1f * normal(random_));
  }

  std::mt19937 random_;
  Network network_;
  std::int64_t end_ = 0, largest_ = 0;
};

// F(2,3), with stride 2 of 2 + 1 taps.
inline OpCall& Builder::fast(std::int64_t x, std::int64_t y, std::int64_t pad, std::int64_t stride) {
  OpCall& c = call(Kind::kFast, x, y);
  c.bt = {1, 0, -1, 0, 0, 1, 1, 0, 0, -1, 1, 0, 0, 1, 0, -1};
  c.at = {1, 1, 1, 0, 0, 1, -1, -1};
  if (stride == 2) {
    c.bt = {-1, 0, 1, 0, 0, 0, 0, 1, 0, 0, 0, 0, -1, 0, 1, 0, 1, 0, 0, 0, 0, 0, 0, 1, 0};
    c.at = {1, 1, 0, 1, 0, 0, 1, 1, 0, 1};
    c.n = 5;
  }
  const std::int64_t taps = c.n * c.n;
  c.stride = stride, c.pad_top = c.pad_left = pad;
  c.shape = {taps, at(y).channels, at(x).channels};
  weights(c, at(x), at(y).channels, at(x).channels, taps);
  const bool integers = c.input != Dtype::kFloat32;
  if (integers) c.columns = at(x).channels;
  if (c.input == Dtype::kInt16) c.v_limit = 2047;
  for (std::int64_t i = 0; integers && i < taps * c.columns; ++i) {
    c.mult.push_back(static_cast<std::int32_t>(random_() % 24000 + 8000));
  }
  return c;
}

// Every operation once or more, on images of 3 x 13 x 11. `exact`: only operations that give the same bits on
// every kernel set, that is, no float convolution that may fuse.
inline Network small_network(std::int64_t batch, bool exact) {
  Builder b(batch, 7);
  const auto image = b.input(13, 11, 3), stem = b.bytes(13, 11, 20, 0);
  b.call(Kind::kImport, 0, image);
  b.direct(image, stem, 3, 1, 1).low = 0;
  const auto skip = b.bytes(13, 11, 20, 0), inner = b.bytes(13, 11, 20, -127), sum = b.bytes(13, 11, 20, 0);
  b.call(Kind::kEltwise, stem, skip).scale = std::vector<float>(20, 0.5f);
  b.fast(stem, inner, 1);
  OpCall& joined = b.fast(inner, sum, 1);
  joined.residual = skip, joined.low = 0, joined.high = 2.25f;
  b.reuse(image);  // `sum` lies last: what comes next fits before it
  const auto pooled = b.bytes(7, 6, 20, 0), strided = b.bytes(7, 6, 17, 0);
  b.pool(sum, pooled, true, 3, 2);
  b.fast(sum, strided, 1, 2).low = 0;
  b.reuse(sum);
  const auto exact_sums = b.bytes(7, 6, 19, -127), residues = b.bytes(7, 6, 17, 0);
  b.exact(strided, exact_sums).low = 0;
  b.residue(exact_sums, residues, 4, {8191, 8189});
  const auto both = b.bytes(8, 6, 37, 0), real = b.floats(8, 6, 5);
  b.identity_gather(pooled, both, 0, true);
  b.identity_gather(residues, both, 20, false);
  const auto words = b.words(8, 6, 6, 0), more_words = b.words(8, 6, 9, -2047);
  b.direct(both, words, 1, 1, 0);
  b.fast(words, more_words, 1);
  b.direct(more_words, real, 3, 1, 1);
  const auto wide = b.floats(8, 6, 12), shuffled = b.floats(16, 12, 3), resized = b.bytes(5, 5, 3, -127);
  exact ? b.direct(real, wide, 3, 1, 1) : b.fast(real, wide, 1);
  b.call(Kind::kPixelShuffle, wide, shuffled).number = 2;
  OpCall& resize = b.call(Kind::kResize, shuffled, resized);
  resize.rows = {0, 1, 3, 4, 7, 8, 11, 12, 15, 15}, resize.row_weights = {0, 0.25f, 0.5f, 0.75f, 0};
  resize.cols = {0, 1, 2, 3, 5, 6, 8, 9, 11, 11}, resize.col_weights = {0, 0.3f, 0.6f, 0.9f, 1};
  const auto mean = b.floats(1, 1, 3), logits = b.floats(1, 1, 10);
  b.pool(resized, mean, false, 5, 5);
  const auto half = b.halves(1, 1, 3);
  b.call(Kind::kEltwise, mean, half);
  b.direct(exact ? mean : half, logits, 1, 1, 0).flag = true;
  b.call(Kind::kExport, logits, 0);
  return b.take();
}

}  // namespace tilewise::testing
