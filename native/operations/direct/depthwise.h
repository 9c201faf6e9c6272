// Depthwise convolution: each output channel reads one input channel, so channels lie in the lanes of vectors and
// nothing is summed across them. Pixels of the window are taken several together where one instruction adds up
// several products in a lane: their bytes are laid side by side, channel by channel, and so are their weights.
#pragma once

#include <algorithm>
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
  [[gnu::always_inline]] static void add(I32 (&sums)[Vectors], const In* const* taps, std::int64_t channel,
                                         const Weight* weights) {
    I8 x[kTogether];
#pragma GCC unroll 4
    for (int i = 0; i < kTogether; ++i) x[i] = spread_quads(load<I32>(taps[i] + channel));
    if constexpr (kSignedRows) {
#pragma GCC unroll 4
      for (int i = 0; i < kTogether; ++i) x[i] = x[i] ^ std::int8_t{-128};
    }
    const I8 low[2] = {low_bytes(x[0], x[1]), low_bytes(x[2], x[3])};
    const I8 high[2] = {high_bytes(x[0], x[1]), high_bytes(x[2], x[3])};
    const I8 quads[4] = {low_shorts(low[0], low[1]), high_shorts(low[0], low[1]), low_shorts(high[0], high[1]),
                         high_shorts(high[0], high[1])};
#pragma GCC unroll 4
    for (int v = 0; v < Vectors; ++v)
      sums[v] = mac(sums[v], reinterpret_cast<I32>(quads[v]), load<I32>(weights + v * kBytes));
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
  [[gnu::always_inline]] static void add(I32 (&sums)[Vectors], const In* const* taps, std::int64_t channel,
                                         const Weight* weights) {
#pragma GCC unroll 4
    for (int v = 0; v < Vectors; ++v) {
      const I32 pair = join(words(taps[0] + channel + v * kLanes), words(taps[1] + channel + v * kLanes));
      sums[v] = mac(sums[v], pair, load<I32>(weights + v * kLanes * kTogether));
    }
  }

 private:
  [[gnu::always_inline]] static I32 words(const In* p) { return __builtin_convertvector(load<Words>(p), I32); }
};

template <class Dot>
struct SingleTaps : Dot {
  static constexpr int kTogether = 1;

  template <int Vectors>
  [[gnu::always_inline]] static void add(F32 (&sums)[Vectors], const float* const* taps, std::int64_t channel,
                                         const float* weights) {
#pragma GCC unroll 4
    for (int v = 0; v < Vectors; ++v)
      sums[v] = Dot::mac(sums[v], load<F32>(taps[0] + channel + v * kLanes), load<F32>(weights + v * kLanes));
  }
};
using FloatTaps = SingleTaps<FloatDot>;
using OrderedFloatTaps = SingleTaps<OrderedFloatDot>;

// Products of bf16 are exact in float.
struct HalfTaps : Bf16Dot {
  static constexpr int kTogether = 1;

  template <int Vectors>
  [[gnu::always_inline]] static void add(F32 (&sums)[Vectors], const In* const* taps, std::int64_t channel,
                                         const Weight* weights) {
#pragma GCC unroll 4
    for (int v = 0; v < Vectors; ++v)
      sums[v] = fused(floats(taps[0] + channel + v * kLanes), floats(weights + v * kLanes), sums[v]);
  }

 private:
  [[gnu::always_inline]] static F32 floats(const std::uint16_t* p) {
    return reinterpret_cast<F32>(__builtin_convertvector(load<Words>(p), I32) << 16);
  }
};

// Weights as they are read: [block of channels][step][vector][lane][pixel of the step], zeros where there is none.
template <class Taps>
struct DepthwiseWeights {
  std::vector<typename Taps::Weight> weights;
  AlignedVector<typename Taps::Sum> init;  // what takes a pixel's zero away again
};

template <class Taps>
class DepthwiseOp final : public Op {
  using In = typename Taps::In;
  using Weight = typename Taps::Weight;
  using Sum = typename Taps::Sum;

 public:
  DepthwiseOp(const DirectConv& conv, const Weight* weight)
      : x_(*conv.x),
        y_(*conv.y),
        window_(conv.window),
        steps_((window_.height * window_.width + Taps::kTogether - 1) / Taps::kTogether),
        scale_(conv.scale.begin(), conv.scale.end()),
        finish_(conv.epilogue, y_),
        packed_(shared_state<DepthwiseWeights<Taps>>(conv.shared, [&] { return packed(weight); })) {
    scale_.resize(static_cast<std::size_t>(y_.stride), 0.0F);
    zeros_.assign(static_cast<std::size_t>(x_.stride) + kSlack, static_cast<In>(x_.grid.zero));
    for (std::int64_t i = 0; i < window_.height; ++i) {
      for (std::int64_t j = 0; j < window_.width; ++j)
        offsets_.push_back((i * window_.dilation_h * x_.width + j * window_.dilation_w) * x_.stride);
    }
  }

  // A task is a row of output pixels.
  std::int64_t tasks(const Call& call) const override { return call.images * y_.height; }

  std::size_t scratch_bytes() const override {
    return static_cast<std::size_t>(steps_ * Taps::kTogether) * sizeof(In*);
  }

  void run(const Call&, std::int64_t begin, std::int64_t end, std::byte* scratch, StageSeconds*) const override {
    auto* const taps = reinterpret_cast<const In**>(scratch);
    std::fill_n(taps, steps_ * Taps::kTogether, zeros_.data());
    for (std::int64_t task = begin; task < end; ++task) {
      const std::int64_t image = task / y_.height, row = task % y_.height;
      for (std::int64_t col = 0; col < y_.width; ++col) {
        point(image, row * window_.stride_h - window_.pad_top, col * window_.stride_w - window_.pad_left, taps);
        for (std::int64_t channel = 0; channel < y_.stride; channel += kBlock) {
          for_vectors(std::min(kBlock, y_.stride - channel) / kLanes,
                      [&](auto constant) { convolve<constant>(taps, channel, task * y_.width + col); });
        }
      }
    }
  }

 private:
  static constexpr std::int64_t kBlock = std::int64_t{4} * kLanes;

  std::shared_ptr<const DepthwiseWeights<Taps>> packed(const Weight* weight) const {
    const std::int64_t pixels = window_.height * window_.width;
    const auto made = std::make_shared<DepthwiseWeights<Taps>>();
    made->weights.resize(static_cast<std::size_t>(y_.stride * steps_ * Taps::kTogether));
    made->init.resize(static_cast<std::size_t>(y_.stride));
    for (std::int64_t channel = 0; channel < y_.channels; ++channel) {
      const std::int64_t first = channel / kBlock * kBlock, lanes = std::min(kBlock, y_.stride - first);
      Weight* const to = made->weights.data() + (first * steps_ + channel - first) * Taps::kTogether;
      Sum total{};
      for (std::int64_t pixel = 0; pixel < pixels; ++pixel) {
        const Weight value = weight[channel * pixels + pixel];
        to[pixel / Taps::kTogether * lanes * Taps::kTogether + pixel % Taps::kTogether] = value;
        if constexpr (std::is_integral_v<Sum>) total += value;
      }
      made->init[static_cast<std::size_t>(channel)] = static_cast<Sum>(Taps::kRowOffset - x_.grid.zero) * total;
    }
    return made;
  }

  // Lets `taps` point to the pixels of the window that begins at x's pixel (row, col), or to zeros.
  void point(std::int64_t image, std::int64_t row, std::int64_t col, const In** taps) const {
    const In* const x = reinterpret_cast<const In*>(x_.data) + image * x_.pixels() * x_.stride;
    const std::int64_t corner = (row * x_.width + col) * x_.stride;
    const bool inside = row >= 0 && row + (window_.height - 1) * window_.dilation_h < x_.height && col >= 0 &&
                        col + (window_.width - 1) * window_.dilation_w < x_.width;
    if (inside) {
      for (const std::int64_t offset : offsets_) *taps++ = x + (corner + offset);
      return;
    }
    const std::int64_t* offset = offsets_.data();
    for (std::int64_t i = 0; i < window_.height; ++i) {
      const std::int64_t x_row = row + i * window_.dilation_h;
      for (std::int64_t j = 0; j < window_.width; ++j, ++offset) {
        const std::int64_t x_col = col + j * window_.dilation_w;
        const bool there = 0 <= x_row && x_row < x_.height && 0 <= x_col && x_col < x_.width;
        *taps++ = there ? x + (corner + *offset) : zeros_.data();
      }
    }
  }

  template <int Vectors>
  [[gnu::always_inline]] void convolve(const In* const* taps, std::int64_t channel, std::int64_t pixel) const {
    typename Taps::Vector sums[Vectors];
#pragma GCC unroll 4
    for (int v = 0; v < Vectors; ++v)
      sums[v] = load<typename Taps::Vector>(packed_->init.data() + channel + v * kLanes);
    const Weight* weights = packed_->weights.data() + channel * steps_ * Taps::kTogether;
    for (std::int64_t step = 0; step < steps_; ++step) {
      Taps::template add<Vectors>(sums, taps + step * Taps::kTogether, channel, weights);
      weights += Vectors * kLanes * Taps::kTogether;
    }
    F32 values[Vectors];
#pragma GCC unroll 4
    for (int v = 0; v < Vectors; ++v) values[v] = real(sums[v], channel + v * kLanes);
    finish_.template operator()<Vectors>(values, pixel, channel);
  }

  [[gnu::always_inline]] F32 real(I32 sums, std::int64_t channel) const {
    return to_float(sums) * load<F32>(scale_.data() + channel);
  }
  [[gnu::always_inline]] F32 real(F32 sums, std::int64_t) const { return sums; }

  TensorRef x_, y_;
  Window window_;
  std::int64_t steps_;
  AlignedVector<float> scale_;
  Finish finish_;
  std::shared_ptr<const DepthwiseWeights<Taps>> packed_;
  AlignedVector<In> zeros_;
  std::vector<std::int64_t> offsets_;  // of the window's pixels from its first one
};

}  // namespace tilewise::TILEWISE_SET
