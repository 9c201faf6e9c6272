// Fast convolution: blocks of tiles go through all stages while V and M stay in the cache. Needs dot.h,
// epilogue.h, transform.h, elements.h.
//
//   input_transform    t x t pixels of each tile -> n*n rows of V, requantized          [tap][tile][channel]
//   multiply           per panel of output channels and tap: tiles x channels x panel   [tile][tap][channel
//   of panel] output_transform   n*n values of M -> m x m outputs, finished
#pragma once

#include <chrono>

namespace tilewise::TILEWISE_SET {

// Adds the time since its last call to a stage, if anybody wants to know.
class StageClock {
 public:
  explicit StageClock(bool on) : on_(on) {}
  void start() {
    if (on_) last_ = Clock::now();
  }
  void charge(double StageSeconds::* stage, StageSeconds* seconds) {
    if (!on_) return;
    const auto now = Clock::now();
    seconds->*stage += std::chrono::duration<double>(now - last_).count();
    last_ = now;
  }

 private:
  using Clock = std::chrono::steady_clock;
  bool on_;
  Clock::time_point last_;
};

template <class Dot, class Algorithm, class Element>
class FastOp final : public Op {
  using Pixel = typename Element::In;
  using In = typename Dot::In;  // of V
  using Sum = typename Dot::Sum;

 public:
  FastOp(const FastConv& conv, const typename Dot::Weight* u)
      : x_(*conv.x),
        y_(*conv.y),
        pad_top_(conv.pad_top),
        pad_left_(conv.pad_left),
        algorithm_(conv),
        element_(conv),
        finish_(conv.epilogue, y_),
        taps_(conv.n * conv.n),
        width_(round_up(x_.channels, Element::kWidth)),
        tile_rows_((y_.height + conv.m - 1) / conv.m),
        tile_cols_((y_.width + conv.m - 1) / conv.m) {
    constexpr bool bytes = std::is_same_v<In, std::uint8_t>, quantized = std::is_same_v<Sum, std::int32_t>;
    tap_weights_.resize(static_cast<std::size_t>(taps_));
    for (std::int64_t tap = 0; tap < taps_; ++tap) {
      // In bytes V is stored with 128 added, which the products' starting value takes away again.
      tap_weights_[static_cast<std::size_t>(tap)].pack(u + tap * y_.channels * x_.channels, y_.channels, 1,
                                                       x_.channels, bytes ? 128 : 0);
    }
    scale_.assign(static_cast<std::size_t>(taps_ * y_.stride), 1.0F);
    for (std::int64_t i = 0; quantized && i < taps_ * y_.stride; ++i) {
      const std::int64_t k = i % y_.stride;
      scale_[static_cast<std::size_t>(i)] =
          k < y_.channels ? conv.scale[static_cast<std::size_t>(i / y_.stride * y_.channels + k)] : 0.0F;
    }
    zeros_.assign(static_cast<std::size_t>(x_.stride) + kSlack, static_cast<Pixel>(x_.grid.zero));
    block_ =
        std::clamp(kCacheBytes / (taps_ * (width_ * static_cast<std::int64_t>(sizeof(In)) + kPanel * 4)) /
                       kTallRows * kTallRows,
                   kTallRows, 4 * kTallRows);
  }

  // A task is a block of tiles with some of the panels; where blocks are few, panels are shared out too, and
  // a thread that meets a new block transforms its input.
  std::int64_t tasks(const Call& call) const override { return blocks(call) * splits(call); }

  std::size_t scratch_bytes() const override {
    return static_cast<std::size_t>(v_bytes() + m_bytes() + pointers_bytes());
  }

  StageLayout stages() const override {
    return {block_, 0, tap_distance(), width_, v_bytes() / 4, kPanel, taps_ * kPanel, kPanel};
  }

  void run(const Call& call, std::int64_t begin, std::int64_t end, std::byte* scratch,
           StageSeconds* seconds) const override {
    const Block work{reinterpret_cast<In*>(scratch), reinterpret_cast<Sum*>(scratch + v_bytes()),
                     reinterpret_cast<const Pixel**>(scratch + v_bytes() + m_bytes())};
    const std::int64_t tiles = call.images * tile_rows_ * tile_cols_, parts = splits(call);
    const std::int64_t panels = tap_weights_.front().panels();
    StageClock clock(seconds != nullptr);
    clock.start();
    std::int64_t transformed = -1;
    for (std::int64_t task = begin; task < end; ++task) {
      const std::int64_t first = task / parts * block_, part = task % parts;
      const std::int64_t count = std::min(block_, tiles - first);
      if (first != transformed) {
        if (seconds != nullptr) time_requantize(first, count, work, seconds);
        clock.start();
        for (std::int64_t tile = 0; tile < count; ++tile) input_transform<true>(first + tile, tile, work);
        transformed = first;
        clock.charge(&StageSeconds::input_transform, seconds);
      }
      for (std::int64_t panel = part * panels / parts; panel < (part + 1) * panels / parts; ++panel) {
        for (std::int64_t tap = 0; tap < taps_; ++tap) multiply(tap, panel, count, work);
        clock.charge(&StageSeconds::multiply, seconds);
        for (std::int64_t tile = 0; tile < count; ++tile) output_transform(first + tile, tile, panel, work);
        clock.charge(&StageSeconds::output_transform, seconds);
      }
    }
  }

 private:
  // Room for V and M of a block: well inside the second-level cache of current server and desktop cores.
  static constexpr std::int64_t kCacheBytes = 640 * 1024;

  struct Block {
    In* v;
    Sum* m;
    const Pixel** pixels;
  };

  std::int64_t blocks(const Call& call) const {
    return (call.images * tile_rows_ * tile_cols_ + block_ - 1) / block_;
  }
  std::int64_t splits(const Call& call) const {
    return std::min(tap_weights_.front().panels(), (kFewBlocks - 1) / blocks(call) + 1);
  }
  static constexpr std::int64_t kFewBlocks = 8;

  // Rows of one tap lie together; kAlignment more than a block needs keeps taps off the same cache sets.
  std::int64_t tap_distance() const {
    return block_ * width_ + static_cast<std::int64_t>(kAlignment / sizeof(In));
  }
  std::int64_t v_bytes() const {
    return round_up(
        taps_ * tap_distance() * static_cast<std::int64_t>(sizeof(In)) + static_cast<std::int64_t>(kSlack),
        64);
  }
  std::int64_t m_bytes() const { return block_ * taps_ * kPanel * static_cast<std::int64_t>(sizeof(Sum)); }
  std::int64_t pointers_bytes() const {
    return static_cast<std::int64_t>(algorithm_.t) * algorithm_.t * static_cast<std::int64_t>(sizeof(Pixel*));
  }

  struct Place {
    std::int64_t image, row, col;  // of a tile's first output
  };
  Place place(std::int64_t tile) const {
    const std::int64_t per_image = tile_rows_ * tile_cols_;
    return {tile / per_image, tile % per_image / tile_cols_ * algorithm_.m, tile % tile_cols_ * algorithm_.m};
  }

  // Where each of the t x t pixels of a tile lies; pixels outside the image are the row of zeros.
  void find_pixels(std::int64_t tile, const Pixel** pixels) const {
    const Place at = place(tile);
    const Pixel* const image = reinterpret_cast<const Pixel*>(x_.data) + at.image * x_.pixels() * x_.stride;
    for (int i = 0; i < algorithm_.t; ++i) {
      const std::int64_t row = at.row + i - pad_top_;
      for (int j = 0; j < algorithm_.t; ++j) {
        const std::int64_t col = at.col + j - pad_left_;
        const bool inside = 0 <= row && row < x_.height && 0 <= col && col < x_.width;
        *pixels++ = inside ? image + (row * x_.width + col) * x_.stride : zeros_.data();
      }
    }
  }

  // Requantization is part of the input transform, in registers. What it takes is the difference between the
  // transform with and without it, in a pass of its own that only profiles make.
  void time_requantize(std::int64_t first, std::int64_t count, const Block& work,
                       StageSeconds* seconds) const {
    StageSeconds with, without;
    StageClock clock(true);
    for (int repeat = 0; repeat < 2; ++repeat) {  // the first one warms the caches
      with = without = {};
      clock.start();
      for (std::int64_t tile = 0; tile < count; ++tile) input_transform<false>(first + tile, tile, work);
      clock.charge(&StageSeconds::input_transform, &without);
      for (std::int64_t tile = 0; tile < count; ++tile) input_transform<true>(first + tile, tile, work);
      clock.charge(&StageSeconds::input_transform, &with);
    }
    const double requantize = std::max(0.0, with.input_transform - without.input_transform);
    seconds->requantize += requantize;
    seconds->input_transform -= requantize;
  }

  template <bool Requantize>
  void input_transform(std::int64_t tile, std::int64_t slot, const Block& work) const {
    using Vector = typename Element::Vector;
    find_pixels(tile, work.pixels);
    const int n = algorithm_.n, t = algorithm_.t;
    Vector half[Algorithm::kMax][Algorithm::kMax];
    for (std::int64_t c = 0; c < width_; c += Element::kWidth) {
      for (int j = 0; j < t; ++j) {
        Vector column[Algorithm::kMax];
        for (int i = 0; i < t; ++i) column[i] = element_.read(work.pixels[i * t + j] + c);
        algorithm_.template input<Vector>([&](int i) __attribute__((always_inline)) { return column[i]; },
                                          [&](int a, Vector v)
                                              __attribute__((always_inline)) { half[a][j] = v; });
      }
      In* const to = work.v + slot * width_ + c;
      for (int a = 0; a < n; ++a) {
        algorithm_.template input<Vector>([&](int j) __attribute__((always_inline)) { return half[a][j]; },
                                          [&](int b, Vector v) __attribute__((always_inline)) {
                                            In* const place = to + (a * n + b) * tap_distance();
                                            if constexpr (Requantize) {
                                              element_.write(place, v, a * n + b, c);
                                            } else {
                                              element_.write_plain(place, v);
                                            }
                                          });
      }
    }
  }

  void multiply(std::int64_t tap, std::int64_t panel, std::int64_t count, const Block& work) const {
    const Packed<Dot>& weights = tap_weights_[static_cast<std::size_t>(tap)];
    const std::int64_t vectors = weights.vectors(panel);
    const In* rows[kTallRows];
    for (std::int64_t slot = 0, height = 0; slot < count; slot += height) {
      height = rows_together(count - slot, vectors);
      for (std::int64_t r = 0; r < height; ++r) rows[r] = work.v + tap * tap_distance() + (slot + r) * width_;
      micro_for<Dot>(height, vectors)(rows, kTallRows, 1, weights.groups, weights.panel_weights(panel),
                                      weights.init.data() + panel * kPanel,
                                      work.m + (slot * taps_ + tap) * kPanel, taps_ * kPanel);
    }
  }

  void output_transform(std::int64_t tile, std::int64_t slot, std::int64_t panel, const Block& work) const {
    const Place at = place(tile);
    const std::int64_t rows = std::min<std::int64_t>(algorithm_.m, y_.height - at.row);
    const std::int64_t cols = std::min<std::int64_t>(algorithm_.m, y_.width - at.col);
    const std::int64_t first = (at.image * y_.height + at.row) * y_.width + at.col;
    const int n = algorithm_.n;
    F32 half[Algorithm::kMax][Algorithm::kMax];
    for (std::int64_t v = 0; v < tap_weights_.front().vectors(panel); ++v) {
      const std::int64_t channel = panel * kPanel + v * kLanes;
      const Sum* const m = work.m + slot * taps_ * kPanel + v * kLanes;
      for (int b = 0; b < n; ++b) {
        F32 column[Algorithm::kMax];
        for (int a = 0; a < n; ++a) {
          column[a] = real(m + (a * n + b) * kPanel, (a * n + b) * y_.stride + channel);
        }
        algorithm_.template output<F32>([&](int a) __attribute__((always_inline)) { return column[a]; },
                                        [&](int i, F32 value)
                                            __attribute__((always_inline)) { half[i][b] = value; });
      }
      for (int i = 0; i < rows; ++i) {
        algorithm_.template output<F32>([&](int b) __attribute__((always_inline)) { return half[i][b]; },
                                        [&](int j, F32 value) __attribute__((always_inline)) {
                                          if (j < cols) finish_(value, first + i * y_.width + j, channel);
                                        });
      }
    }
  }

  [[gnu::always_inline]] F32 real(const std::int32_t* m, std::int64_t scale) const {
    return to_float(load<I32>(m)) * load<F32>(scale_.data() + scale);
  }
  [[gnu::always_inline]] F32 real(const float* m, std::int64_t) const { return load<F32>(m); }

  TensorRef x_, y_;
  std::int64_t pad_top_, pad_left_;
  Algorithm algorithm_;
  Element element_;
  Finish finish_;
  std::int64_t taps_, width_, tile_rows_, tile_cols_, block_ = kRows;
  std::vector<Packed<Dot>> tap_weights_;
  std::vector<float> scale_;  // [tap][lane]
  std::vector<Pixel> zeros_;
};

template <class Dot, class Element>
std::unique_ptr<Op> make_fast(const FastConv& conv, const typename Dot::Weight* u) {
  std::unique_ptr<Op> op;
  const auto attempt = [&]<class Algorithm>(std::type_identity<Algorithm>) {
    if (!op && Algorithm::serves(conv)) op = std::make_unique<FastOp<Dot, Algorithm, Element>>(conv, u);
  };
  for_each_fixed(attempt);
  if constexpr (std::is_same_v<typename Element::Vector, F32>) {
    attempt(std::type_identity<Dense<2, 4, 4>>{});
    attempt(std::type_identity<Dense<4, 6, 6>>{});
    attempt(std::type_identity<Dense<6, 8, 8>>{});
  }
  if (!op) op = std::make_unique<FastOp<Dot, Listed, Element>>(conv, u);
  return op;
}

inline std::unique_ptr<Op> make_fast_int8(const FastConv& conv) {
  if (Int16Element::serves(conv)) return make_fast<Int8Dot, Int16Element>(conv, conv.u_int8.data());
  if (float_serves(conv)) return make_fast<Int8Dot, RealElement<F32>>(conv, conv.u_int8.data());
  return std::make_unique<FastOp<Int8Dot, Listed, RealElement<F64>>>(conv, conv.u_int8.data());
}

inline std::unique_ptr<Op> make_fast_f32(const FastConv& conv) {
  return make_fast<FloatDot, FloatElement>(conv, conv.u_f32.data());
}

}  // namespace tilewise::TILEWISE_SET
