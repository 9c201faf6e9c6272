// Depthwise convolution: each output channel reads one input channel, so channels lie in the lanes of vectors and
// nothing is summed across them. A row of outputs is made for one block of channels at a time, in two passes: columns
// of the window are gathered, several pixels side by side in a lane where one instruction adds up several products;
// then each output adds up the columns that it sees.
#pragma once

#include <algorithm>
#include <bit>
#include <memory>
#include <type_traits>
#include <vector>

#include "base/aligned.h"
#include "kernels/dot.h"
#include "kernels/epilogue.h"
#include "kernels/op.h"
#include "kernels/sixteen_dots.h"
#include "operations/direct/params.h"

namespace tilewise::TILEWISE_SET {

// Four pixels of bytes. After two rounds of interleaving within each 16 bytes, vector v of a block has the channels
// that lay fourth by fourth; spread_quads() puts them where that makes them v's own.
struct ByteTaps : Int8Dot {
  static constexpr int kTogether = 4;

  template <int Vectors>
  [[gnu::always_inline]] static void gather(const In* const (&pixels)[kTogether], I32 (&to)[Vectors]) {
    I8 x[kTogether];
#pragma GCC unroll 4
    for (int i = 0; i < kTogether; ++i) x[i] = spread_quads(load<I32>(pixels[i]));
    if constexpr (kSignedRows) {
#pragma GCC unroll 4
      for (int i = 0; i < kTogether; ++i) x[i] = x[i] ^ std::int8_t{-128};
    }
    const I8 low[2] = {low_bytes(x[0], x[1]), low_bytes(x[2], x[3])};
    const I8 high[2] = {high_bytes(x[0], x[1]), high_bytes(x[2], x[3])};
    const I8 quads[4] = {low_shorts(low[0], low[1]), high_shorts(low[0], low[1]), low_shorts(high[0], high[1]),
                         high_shorts(high[0], high[1])};
#pragma GCC unroll 4
    for (int v = 0; v < Vectors; ++v) to[v] = reinterpret_cast<I32>(quads[v]);
  }

 private:
  // Quad 4 * l + v of the result is quad v * kBytes / 16 + l.
  template <typename Quads>
  [[gnu::always_inline]] static I8 spread_quads(Quads x) {
    if constexpr (sizeof x == 64) {
      return reinterpret_cast<I8>(
          __builtin_shufflevector(x, x, 0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15));
    } else if constexpr (sizeof x == 32) {
      return reinterpret_cast<I8>(__builtin_shufflevector(x, x, 0, 2, 4, 6, 1, 3, 5, 7));
    } else {
      return reinterpret_cast<I8>(x);
    }
  }
};

// Two pixels of int16.
struct WordTaps : Int16Dot {
  static constexpr int kTogether = 2;

  template <int Vectors>
  [[gnu::always_inline]] static void gather(const In* const (&pixels)[kTogether], I32 (&to)[Vectors]) {
#pragma GCC unroll 4
    for (int v = 0; v < Vectors; ++v) to[v] = join(words(pixels[0] + v * kLanes), words(pixels[1] + v * kLanes));
  }

 private:
  [[gnu::always_inline]] static I32 words(const In* p) { return __builtin_convertvector(load<Words>(p), I32); }
};

// One pixel of floats.
template <class Dot>
struct SingleTaps : Dot {
  static constexpr int kTogether = 1;

  template <int Vectors>
  [[gnu::always_inline]] static void gather(const float* const (&pixels)[kTogether], F32 (&to)[Vectors]) {
#pragma GCC unroll 4
    for (int v = 0; v < Vectors; ++v) to[v] = load<F32>(pixels[0] + v * kLanes);
  }
};
using FloatTaps = SingleTaps<FloatDot>;
using OrderedFloatTaps = SingleTaps<OrderedFloatDot>;

// One pixel of bf16, widened: products of two are exact in float. Weights are widened too.
struct HalfTaps : FloatDot {
  using In = std::uint16_t;
  static constexpr int kTogether = 1;

  template <int Vectors>
  [[gnu::always_inline]] static void gather(const In* const (&pixels)[kTogether], F32 (&to)[Vectors]) {
#pragma GCC unroll 4
    for (int v = 0; v < Vectors; ++v)
      to[v] = reinterpret_cast<F32>(__builtin_convertvector(load<Words>(pixels[0] + v * kLanes), I32) << 16);
  }
};

// Weights as they are read: [block of channels][rows together][column of the window][vector][lane][row], zeros where
// there is no row.
template <class Taps>
struct DepthwiseWeights {
  AlignedVector<typename Taps::Weight> weights;
  AlignedVector<typename Taps::Sum> init;  // what takes a pixel's zero away again
};

template <class Taps>
class DepthwiseOp final : public Op {
  using In = typename Taps::In;
  using Sum = typename Taps::Sum;
  using Vector = typename Taps::Vector;
  static constexpr std::int64_t kTogether = Taps::kTogether;

 public:
  // `weight` is [K][height][width], of Taps::Weight or of what becomes that.
  template <typename Weight>
  DepthwiseOp(const DirectConv& conv, const Weight* weight)
      : x_(*conv.x),
        y_(*conv.y),
        window_(conv.window),
        layers_((window_.height + kTogether - 1) / kTogether),
        scale_(conv.scale.begin(), conv.scale.end()),
        finish_(conv.epilogue, y_),
        packed_(shared_state<DepthwiseWeights<Taps>>(conv.shared, [&] { return packed(weight); })) {
    scale_.resize(static_cast<std::size_t>(y_.lanes()), 0.0F);
    zeros_.assign(static_cast<std::size_t>(x_.stride) + kSlack, static_cast<In>(x_.grid.zero));
    const std::int64_t reach = (window_.width - 1) * window_.dilation_w + 1;
    if (reach + window_.stride_w <= kMostColumns) {
      outputs_ = (kMostColumns - reach) / window_.stride_w + 1, columns_ = kMostColumns;
      output_step_ = window_.stride_w, tap_step_ = window_.dilation_w;
    } else {  // pixels too far apart to gather all between
      outputs_ = 1, columns_ = window_.width;
      output_step_ = 0, tap_step_ = 1;
    }
  }

  // A task is a row of output pixels.
  std::int64_t tasks(const Call& call) const override { return call.images * y_.height; }

  std::size_t scratch_bytes() const override {
    return static_cast<std::size_t>(columns_ * layers_ * kBlock) * sizeof(Sum) +
           static_cast<std::size_t>(layers_ * kTogether) * sizeof(Row);
  }

  void run(const Call&, std::int64_t begin, std::int64_t end, std::byte* scratch, StageSeconds*) const override {
    Sum* const gathered = reinterpret_cast<Sum*>(scratch);
    Row* const rows = reinterpret_cast<Row*>(gathered + columns_ * layers_ * kBlock);
    for (std::int64_t task = begin; task < end; ++task) {
      find_rows(task / y_.height, task % y_.height, rows);
      for (std::int64_t channel = 0; channel < y_.lanes(); channel += kBlock) {
        for_vectors(std::min(kBlock, y_.lanes() - channel) / kLanes, [&](auto constant) {
          for (std::int64_t col = 0; col < y_.width; col += outputs_)
            convolve<constant>(rows, gathered, channel, task * y_.width, col);
        });
      }
    }
  }

 private:
  static constexpr std::int64_t kBlock = std::int64_t{4} * kLanes, kMostColumns = 64;

  // A row of the window: pixel c of the image at first + c * step, or zeros, whose step is 0.
  struct Row {
    const In* first;
    std::int64_t step;
  };

  template <typename Weight>
  std::shared_ptr<const DepthwiseWeights<Taps>> packed(const Weight* weight) const {
    const auto made = std::make_shared<DepthwiseWeights<Taps>>();
    made->weights.resize(static_cast<std::size_t>(y_.lanes() * layers_ * window_.width * kTogether));
    made->init.resize(static_cast<std::size_t>(y_.lanes()));
    for (std::int64_t channel = 0; channel < y_.channels; ++channel) {
      const std::int64_t first = channel / kBlock * kBlock, lanes = std::min(kBlock, y_.lanes() - first);
      auto* const to = made->weights.data() + (first * layers_ * window_.width + channel - first) * kTogether;
      Sum total{};
      for (std::int64_t i = 0; i < window_.height; ++i) {
        for (std::int64_t j = 0; j < window_.width; ++j, ++weight) {
          to[(i / kTogether * window_.width + j) * lanes * kTogether + i % kTogether] = widened(*weight);
          if constexpr (std::is_integral_v<Sum>) total += *weight;
        }
      }
      made->init[static_cast<std::size_t>(channel)] = static_cast<Sum>(Taps::kRowOffset - x_.grid.zero) * total;
    }
    return made;
  }

  template <typename Weight>
  static typename Taps::Weight widened(Weight weight) {
    if constexpr (std::is_same_v<Weight, std::uint16_t>) {
      return std::bit_cast<float>(static_cast<std::uint32_t>(weight) << 16);
    } else {
      return weight;
    }
  }

  void find_rows(std::int64_t image, std::int64_t row, Row* rows) const {
    const In* const x = reinterpret_cast<const In*>(x_.data) + image * x_.pixels() * x_.stride;
    for (std::int64_t i = 0; i < layers_ * kTogether; ++i) {
      const std::int64_t at = row * window_.stride_h - window_.pad_top + i * window_.dilation_h;
      const bool there = i < window_.height && 0 <= at && at < x_.height;
      rows[i] = there ? Row{x + at * x_.width * x_.stride, x_.stride} : Row{zeros_.data(), 0};
    }
  }

  // Up to outputs_ outputs of a row, from column `col` on.
  template <int Vectors>
  void convolve(const Row* rows, Sum* gathered, std::int64_t channel, std::int64_t first, std::int64_t col) const {
    const std::int64_t count = std::min(outputs_, y_.width - col);
    const std::int64_t columns = (count - 1) * output_step_ + (window_.width - 1) * tap_step_ + 1;
    const std::int64_t left = col * window_.stride_w - window_.pad_left;
    for (std::int64_t c = 0; c < columns; ++c) {
      const std::int64_t at = left + (output_step_ == 0 ? c * window_.dilation_w : c);
      gather<Vectors>(rows, 0 <= at && at < x_.width ? at : -1, channel, gathered + c * layers_ * Vectors * kLanes);
    }
    const auto* const weights = packed_->weights.data() + channel * layers_ * window_.width * kTogether;
    if (layers_ == 1 && window_.width == 3) {  // known, so that weights stay in registers
      add<Vectors, 3>(gathered, weights, count, channel, first + col);
    } else {
      add<Vectors, 0>(gathered, weights, count, channel, first + col);
    }
  }

  // One column of the window, all its rows; at: -1 outside the image.
  template <int Vectors>
  [[gnu::always_inline]] void gather(const Row* rows, std::int64_t at, std::int64_t channel, Sum* to) const {
    for (std::int64_t layer = 0; layer < layers_; ++layer, rows += kTogether, to += Vectors * kLanes) {
      const In* pixels[kTogether];
#pragma GCC unroll 4
      for (int i = 0; i < kTogether; ++i)
        pixels[i] = (at < 0 ? zeros_.data() : rows[i].first + at * rows[i].step) + channel;
      Vector values[Vectors];
      Taps::template gather<Vectors>(pixels, values);
#pragma GCC unroll 4
      for (int v = 0; v < Vectors; ++v) store(to + v * kLanes, values[v]);
    }
  }

  // Width: of the window, with one layer; 0: any.
  template <int Vectors, int Width>
  [[gnu::always_inline]] void add(const Sum* gathered, const typename Taps::Weight* weights, std::int64_t count,
                                  std::int64_t channel, std::int64_t pixel) const {
    constexpr std::int64_t kColumn = std::int64_t{Vectors} * kLanes;
    Vector init[Vectors], kept[Width + 1][Vectors];
    F32 scale[Vectors];
#pragma GCC unroll 4
    for (int v = 0; v < Vectors; ++v) {
      init[v] = load<Vector>(packed_->init.data() + channel + v * kLanes);
      scale[v] = load<F32>(scale_.data() + channel + v * kLanes);
    }
#pragma GCC unroll 3
    for (int j = 0; j < Width; ++j) {
#pragma GCC unroll 4
      for (int v = 0; v < Vectors; ++v) kept[j][v] = load<Vector>(weights + (j * kColumn + v * kLanes) * kTogether);
    }
    finish_.template in<Vectors>(channel, [&](const auto& finish) __attribute__((always_inline)) {
      for (std::int64_t o = 0; o < count; ++o) {
        const Sum* const from = gathered + o * output_step_ * layers_ * kColumn;
        Vector sums[Vectors];
#pragma GCC unroll 4
        for (int v = 0; v < Vectors; ++v) sums[v] = init[v];
        if constexpr (Width > 0) {
#pragma GCC unroll 3
          for (int j = 0; j < Width; ++j) {
#pragma GCC unroll 4
            for (int v = 0; v < Vectors; ++v)
              sums[v] = Taps::mac(sums[v], load<Vector>(from + j * tap_step_ * kColumn + v * kLanes), kept[j][v]);
          }
        } else {
          const auto* weight = weights;
          for (std::int64_t layer = 0; layer < layers_; ++layer) {
            for (std::int64_t j = 0; j < window_.width; ++j, weight += kColumn * kTogether) {
              const Sum* const column = from + (j * tap_step_ * layers_ + layer) * kColumn;
#pragma GCC unroll 4
              for (int v = 0; v < Vectors; ++v)
                sums[v] = Taps::mac(sums[v], load<Vector>(column + v * kLanes), load<Vector>(weight + v * kLanes * kTogether));
            }
          }
        }
        F32 values[Vectors];
#pragma GCC unroll 4
        for (int v = 0; v < Vectors; ++v) values[v] = real(sums[v], scale[v]);
        finish(values, pixel + o);
      }
    });
  }

  [[gnu::always_inline]] static F32 real(I32 sums, F32 scale) { return to_float(sums) * scale; }
  [[gnu::always_inline]] static F32 real(F32 sums, F32) { return sums; }

  TensorRef x_, y_;
  Window window_;
  std::int64_t layers_;  // of rows together
  AlignedVector<float> scale_;
  Finish finish_;
  std::shared_ptr<const DepthwiseWeights<Taps>> packed_;
  AlignedVector<In> zeros_;
  // Outputs that are made together, at most; columns gathered for them; from one output and one column of the window to
  // the next, in gathered columns.
  std::int64_t outputs_ = 1, columns_ = 1, output_step_ = 0, tap_step_ = 1;
};

}  // namespace tilewise::TILEWISE_SET
