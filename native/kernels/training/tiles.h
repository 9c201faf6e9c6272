// The tile domain in training: blocks of tiles go through all stages while V and M stay in the cache, forward
// and back.
//
//   forward    x -> q -> V, requantized; per panel of filters M = V U, then y = A^T (M * scale) A + bias
//   backward   x -> q -> V again; per panel M again (where A^T is learned), dM = A dy A^T * scale, dU += dM^T
//   V,
//              dV += dM U^T; then dq = B (dV * mult) B^T where V was not clipped, and dx where x was not
//
// V and dV are [tap][tile][channel], M and dM [tap][tile][filter of the panel]. M is a product of bytes, V
// with 128 added; the gradients are float.
#pragma once

#include <limits>

#include "kernels/training/product.h"
#include "kernels/training/sandwich.h"
#include "kernels/training/strip.h"
#include "kernels/training/weights.h"

namespace tilewise::TILEWISE_SET {

// Where things lie in the scratch memory of a thread; everything in floats.
struct TrainingLayout {
  std::int64_t channels, filters, panel;  // padded; filters of a panel
  std::int64_t rows, tiles;               // rows of tiles in a block, tiles of them
  std::int64_t v_row, v_tap, byte_tap, m_tap, strip;

  TrainingLayout(const TrainingConv& conv, std::int64_t strip_floats, bool backward)
      : channels(padded_channels(conv.channels)),
        filters(padded_channels(conv.filters)),
        panel(std::min<std::int64_t>(kPanel, filters)),
        strip(strip_floats) {
    constexpr std::int64_t kFewest = 48, kMost = 256;  // fewer: weights are unpacked too often
    const std::int64_t each =
        conv.taps() * (panel + channels * (backward ? 2 : 1)) * std::int64_t{sizeof(float)};
    const std::int64_t wanted = std::clamp(caches().second * 3 / 4 / each, kFewest, kMost);
    rows = std::clamp<std::int64_t>(wanted / conv.tile_cols(), 1, conv.images * conv.tile_rows());
    tiles = rows * conv.tile_cols();
    // Rows and taps that lie a power of two apart would share few lines of the first-level cache.
    v_row = channels + (channels >= 128 ? 16 : 0);
    v_tap = tiles * v_row + 16;
    byte_tap = tiles * channels + 64;
    m_tap = tiles * panel + 16;
  }
};

template <int M, int N, int R>
class TrainingTiles {
  static constexpr int kTile = M + R - 1, kTaps = N * N;

 public:
  static std::size_t forward_scratch(const TrainingConv& conv) {
    return TrainingTiles(conv, nullptr, false).carve(nullptr);
  }
  static std::size_t backward_scratch(const TrainingConv& conv) {
    return TrainingTiles(conv, nullptr, true).carve(nullptr);
  }

  static void forward(const TrainingConv& conv, const TrainingForward& call, std::int64_t begin,
                      std::int64_t end, std::byte* scratch) {
    TrainingTiles work(conv, call.scale, false);
    work.carve(scratch);
    work.run_forward(call, begin * conv.tile_rows(), end * conv.tile_rows());
  }

  static void backward(const TrainingConv& conv, const TrainingBackward& call, std::int64_t begin,
                       std::int64_t end, std::byte* scratch) {
    TrainingTiles work(conv, call.scale, true);
    work.carve(scratch);
    work.run_backward(call, begin * conv.tile_rows(), end * conv.tile_rows());
  }

 private:
  TrainingTiles(const TrainingConv& conv, const float* scale, bool backward)
      : conv_(conv),
        strips_(conv),
        at_(conv, strips_.floats(), backward),
        backward_(backward),
        source_scale_(scale),
        bt_(conv.bt),
        output_(conv.at) {}

  // Gives every buffer its place, and the number of bytes of all; fills in what the call does not change.
  std::size_t carve(std::byte* scratch) {
    auto* const start = reinterpret_cast<float*>(scratch);
    std::int64_t used = 0;
    const auto take = [&](std::int64_t count) {
      float* const place = start == nullptr ? nullptr : start + used;
      used += round_up(count, 16);
      return place;
    };
    bytes_ = reinterpret_cast<std::uint8_t*>(take(kTaps * at_.byte_tap / 4 + 16));
    m_ = take(kTaps * at_.m_tap);
    strip_ = take(at_.strip + kLanes);
    mult_ = take(kTaps * at_.channels);
    scale_ = take(kTaps * at_.filters);
    absmax_ = take(kTaps * at_.channels);
    if (backward_) {
      weights_ = take(kPanel * kPanel);
      v_ = take(kTaps * at_.v_tap);
      dv_ = take(kTaps * at_.v_tap);
      dstrip_ = take(at_.strip);
      inside_ = reinterpret_cast<std::uint8_t*>(take(kTaps * at_.v_tap / 4 + 16));
    }
    if (start != nullptr) {
      pad(conv_.mult, conv_.channels, mult_, at_.channels);
      pad(source_scale_, conv_.filters, scale_, at_.filters);
      std::fill_n(absmax_, kTaps * at_.channels, 0.0F);
    }
    return static_cast<std::size_t>(used) * sizeof(float);
  }

  static void pad(const float* from, std::int64_t count, float* to, std::int64_t padded) {
    for (std::int64_t tap = 0; tap < kTaps; ++tap) {
      std::copy_n(from + tap * count, count, to + tap * padded);
      std::fill(to + tap * padded + count, to + (tap + 1) * padded, 0.0F);
    }
  }

  const float* image(const float* x, std::int64_t row) const {
    return x + row / conv_.tile_rows() * conv_.height * conv_.width * conv_.channels;
  }
  std::int64_t panels() const { return (at_.filters + kPanel - 1) / kPanel; }
  std::int64_t panel_vectors(std::int64_t panel) const {
    return std::min<std::int64_t>(kPanelVectors, at_.filters / kLanes - panel * kPanelVectors);
  }

  void run_forward(const TrainingForward& call, std::int64_t begin, std::int64_t end) {
    LaneRange range(*call.range);
    for (std::int64_t row = begin; row < end; row += at_.rows) {
      const std::int64_t rows = std::min(at_.rows, end - row), tiles = rows * conv_.tile_cols();
      make_v<false, true>(call.x, row, rows, range);
      for (std::int64_t panel = 0; panel < panels(); ++panel) {
        make_m(call.u, panel, tiles);
        for (std::int64_t i = 0; i < rows; ++i)
          output_row(call, row + i, i * conv_.tile_cols(), panel, range.poison());
      }
    }
    *call.range = range.get();
    for (std::int64_t tap = 0; tap < kTaps; ++tap) {
      for (std::int64_t c = 0; c < conv_.channels; ++c) {
        float& widest = call.v_absmax[tap * conv_.channels + c];
        widest = std::max(widest, absmax_[tap * at_.channels + c]);
      }
    }
  }

  void run_backward(const TrainingBackward& call, std::int64_t begin, std::int64_t end) {
    F32 dat[M][N] = {}, dbt[N][kTile] = {};
    LaneRange range({0, 0});
    std::fill_n(dstrip_, at_.strip, 0.0F);
    for (std::int64_t row = begin; row < end; row += at_.rows) {
      const std::int64_t rows = std::min(at_.rows, end - row), tiles = rows * conv_.tile_cols();
      call.dat != nullptr ? make_v<true, true>(call.x, row, rows, range)
                          : make_v<true, false>(call.x, row, rows, range);
      for (std::int64_t panel = 0; panel < panels(); ++panel) {
        if (call.dat != nullptr) make_m(call.u, panel, tiles);
        for (std::int64_t i = 0; i < rows; ++i) {
          const std::int64_t tile = i * conv_.tile_cols();
          call.dat != nullptr ? gradient_row<true>(call.dy, row + i, tile, panel, dat)
                              : gradient_row<false>(call.dy, row + i, tile, panel, dat);
        }
        if (call.du != nullptr) add_to_du(call.du, panel, tiles, row != begin);
        if (call.dx != nullptr || call.dbt != nullptr) add_to_dv(call.u_transposed, panel, tiles);
      }
      if (call.dx == nullptr && call.dbt == nullptr) continue;
      for (std::int64_t i = 0; i < rows; ++i) {
        if (call.dbt != nullptr)
          strips_.quantize(image(call.x, row + i), (row + i) % conv_.tile_rows(), strip_, range);
        call.dbt != nullptr ? input_row<true>(i * conv_.tile_cols(), dbt)
                            : input_row<false>(i * conv_.tile_cols(), dbt);
        if (call.dx != nullptr) {
          const float* const from = image(call.x, row + i);
          strips_.flush(from, (row + i) % conv_.tile_rows(), dstrip_, call.dx + (from - call.x));
        }
      }
    }
    if (call.dat != nullptr) add_lanes(dat, call.dat);
    if (call.dbt != nullptr) add_lanes(dbt, call.dbt);
  }

  // V of the block, requantized: kFloats, and which of it was not clipped; kBytesToo. Forward its largest
  // values, too.
  template <bool kFloats, bool kBytesToo>
  void make_v(const float* x, std::int64_t row, std::int64_t rows, LaneRange& range) {
    for (std::int64_t i = 0; i < rows; ++i) {
      strips_.quantize(image(x, row + i), (row + i) % conv_.tile_rows(), strip_, range);
      for (std::int64_t c = 0; c < at_.channels; c += kLanes)
        transform_input<kFloats, kBytesToo>(i * conv_.tile_cols(), c);
    }
  }

  template <bool kFloats, bool kBytesToo>
  void transform_input(std::int64_t first_tile, std::int64_t c) {
    // Copies of members, here and below: the compiler would load those again after every store.
    const F32 limit = splat(conv_.v_limit);
    const std::int64_t channels = at_.channels, row_step = strips_.row_step(), v_tap = at_.v_tap;
    const std::int64_t byte_tap = at_.byte_tap, cols = conv_.tile_cols();
    const float* const mult = mult_ + c;
    float* const absmax = absmax_ + c;
    for (std::int64_t col = 0; col < cols; ++col) {
      const float* const pixels = strip_ + col * M * channels + c;
      const std::int64_t place = (first_tile + col) * at_.v_row + c;
      float* const floats = v_ + place;
      std::uint8_t *const inside = inside_ + place, *const bytes = bytes_ + (first_tile + col) * channels + c;
      sandwich(
          bt_,
          [&](int i, int j)
              __attribute__((always_inline)) { return load<F32>(pixels + i * row_step + j * channels); },
          [&](int i, int j, F32 v) __attribute__((always_inline)) {
            const int tap = i * N + j;
            F32 scaled = v * load<F32>(mult + tap * channels) + 0.5F;
            if constexpr (kFloats) {
              scaled = rounded_down(scaled);
            } else {
              float* const widest = absmax + tap * channels;
              store(widest, larger(load<F32>(widest), larger(v, -v)));
            }
            const F32 clamped = smaller(limit, larger(-limit, scaled));
            if constexpr (kFloats) {
              store(inside + tap * v_tap, narrow((clamped == scaled) & 1));
              store(floats + tap * v_tap, clamped);
            }
            if constexpr (kBytesToo) store(bytes + tap * byte_tap, narrow(floor_to_int(clamped) + 128));
          });
    }
  }

  void make_m(const std::uint8_t* u, std::int64_t panel, std::int64_t tiles) {
    const PackedU packed(conv_);
    const std::int64_t vectors = panel_vectors(panel), first = panel * kPanelVectors;
    const std::uint8_t* rows[kTallRows<Int8Dot>];
    for (std::int64_t tap = 0; tap < kTaps; ++tap) {
      const auto* const weights = reinterpret_cast<const std::int8_t*>(u + packed.place(tap, first).offset);
      const auto* const start = reinterpret_cast<const std::int32_t*>(u + packed.start(tap) + first * kBytes);
      auto* const sums = reinterpret_cast<std::int32_t*>(m_ + tap * at_.m_tap);
      for (std::int64_t tile = 0, height = 0; tile < tiles; tile += height) {
        height = rows_together<Int8Dot>(tiles - tile, vectors);
        for (std::int64_t i = 0; i < height; ++i)
          rows[i] = bytes_ + tap * at_.byte_tap + (tile + i) * at_.channels;
        micro_for<Int8Dot>(height, vectors)(rows, kTallRows<Int8Dot>, kOneSegment, packed.groups, weights,
                                            kContinuation, start, {sums + tile * at_.panel, at_.panel, kLanes});
      }
    }
  }

  // Bytes of transposed weights as floats, `count` of them (a multiple of kLanes).
  static void unpack(const std::uint8_t* from, std::int64_t count, float* to) {
    for (std::int64_t i = 0; i < count; i += kLanes) store(to + i, to_float(load_bytes(from + i) - 128));
  }

  struct Pixels {
    std::int64_t first, rows, cols;  // offset of the first one's channels; those in the image
  };
  Pixels outputs(std::int64_t row, std::int64_t col) const {
    const std::int64_t height = conv_.out_height(), width = conv_.out_width();
    const std::int64_t y = row % conv_.tile_rows() * M, x = col * M;
    return {((row / conv_.tile_rows() * height + y) * width + x) * conv_.filters,
            std::min<std::int64_t>(M, height - y), std::min<std::int64_t>(M, width - x)};
  }

  void output_row(const TrainingForward& call, std::int64_t row, std::int64_t first_tile, std::int64_t panel,
                  float poison) {
    const std::int64_t filters = at_.filters, m_tap = at_.m_tap, cols = conv_.tile_cols();
    for (std::int64_t v = 0; v < panel_vectors(panel); ++v) {
      const std::int64_t k = panel * kPanel + v * kLanes, count = conv_.filters - k;
      if (count <= 0) break;
      const F32 bias = (call.bias == nullptr ? F32{} : load_part(call.bias + k, count)) + poison;
      const float* const scale = scale_ + k;
      for (std::int64_t col = 0; col < cols; ++col) {
        const float* const m = m_ + (first_tile + col) * at_.panel + v * kLanes;
        F32 values[M][M];
        sandwich(
            output_,
            [&](int i, int j) __attribute__((always_inline)) {
              const int tap = i * N + j;
              return to_float(load<I32>(m + tap * m_tap)) * load<F32>(scale + tap * filters);
            },
            [&](int i, int j, F32 value) __attribute__((always_inline)) { values[i][j] = value + bias; });
        const Pixels to = outputs(row, col);
        for (std::int64_t i = 0; i < to.rows; ++i)
          for (std::int64_t j = 0; j < to.cols; ++j)
            store_part(call.y + to.first + (i * conv_.out_width() + j) * conv_.filters + k, values[i][j],
                       count);
      }
    }
  }

  // dM * scale in place of M, for a row of tiles; adds to the gradient of A^T.
  template <bool kLearned>
  void gradient_row(const float* dy, std::int64_t row, std::int64_t first_tile, std::int64_t panel,
                    F32 (&dat)[M][N]) {
    const Matrix<N, M> turned = output_.transposed();
    const std::int64_t filters = at_.filters, m_tap = at_.m_tap, cols = conv_.tile_cols();
    const std::int64_t pixel = conv_.filters, line = conv_.out_width() * pixel;
    for (std::int64_t v = 0; v < panel_vectors(panel); ++v) {
      const std::int64_t k = panel * kPanel + v * kLanes,
                         count = std::max<std::int64_t>(0, conv_.filters - k);
      const float* const scales = scale_ + k;
      for (std::int64_t col = 0; col < cols; ++col) {
        float* const m = m_ + (first_tile + col) * at_.panel + v * kLanes;
        const Pixels from = outputs(row, col);
        const auto scale = [&](int tap)
                               __attribute__((always_inline)) { return load<F32>(scales + tap * filters); };
        sandwich_backward<kLearned>(
            turned,
            [&](int i, int j) __attribute__((always_inline)) {
              return to_float(load<I32>(m + (i * N + j) * m_tap)) * scale(i * N + j);
            },
            [&](int i, int j) __attribute__((always_inline)) {
              const bool inside = i < from.rows && j < from.cols;
              return inside ? load_part(dy + from.first + i * line + j * pixel + k, count) : F32{};
            },
            dat,
            [&](int i, int j, F32 value)
                __attribute__((always_inline)) { store(m + (i * N + j) * m_tap, value * scale(i * N + j)); });
      }
    }
  }

  void add_to_du(float* du, std::int64_t panel, std::int64_t tiles, bool add) const {
    const std::int64_t first = panel * kPanel, count = std::min<std::int64_t>(kPanel, conv_.filters - first);
    for (std::int64_t tap = 0; tap < kTaps; ++tap) {
      product({.a = m_ + tap * at_.m_tap,
               .a_row = 1,
               .a_step = at_.panel,
               .b = v_ + tap * at_.v_tap,
               .b_step = at_.v_row,
               .c = du + (tap * conv_.filters + first) * at_.channels,
               .c_row = at_.channels,
               .depth = tiles,
               .add = add},
              count, at_.channels / kLanes);
    }
  }

  void add_to_dv(const std::uint8_t* transposed, std::int64_t panel, std::int64_t tiles) {
    const std::int64_t first = panel * kPanel, count = std::min<std::int64_t>(kPanel, conv_.filters - first);
    const std::int64_t vectors = at_.channels / kLanes;
    for (std::int64_t tap = 0; tap < kTaps; ++tap) {
      const std::uint8_t* const of_tap = transposed + tap * at_.filters * at_.channels;
      for (std::int64_t v = 0; v < vectors; v += kPanelVectors) {
        const PanelPlace place = panel_place(v, vectors, at_.filters);
        unpack(of_tap + place.offset + first * place.step, count * place.step, weights_);
        product({.a = m_ + tap * at_.m_tap,
                 .a_row = at_.panel,
                 .a_step = 1,
                 .b = weights_,
                 .b_step = place.step,
                 .c = dv_ + tap * at_.v_tap + v * kLanes,
                 .c_row = at_.v_row,
                 .depth = count,
                 .add = panel > 0},
                tiles, place.step / kLanes);
      }
    }
  }

  // From dV of a row of tiles to the gradient of its pixels; adds to that of B^T.
  template <bool kLearned>
  void input_row(std::int64_t first_tile, F32 (&dbt)[N][kTile]) {
    const Matrix<kTile, N> turned = bt_.transposed();
    const std::int64_t channels = at_.channels, row_step = strips_.row_step(), v_tap = at_.v_tap;
    const std::int64_t cols = conv_.tile_cols();
    for (std::int64_t c = 0; c < channels; c += kLanes) {
      const float* const mult = mult_ + c;
      for (std::int64_t col = 0; col < cols; ++col) {
        const std::int64_t pixels = col * M * channels + c, place = (first_tile + col) * at_.v_row + c;
        const float *const image = strip_ + pixels, *const dv = dv_ + place;
        float* const sums = dstrip_ + pixels;
        const std::uint8_t* const inside = inside_ + place;
        sandwich_backward<kLearned>(
            turned,
            [&](int i, int j)
                __attribute__((always_inline)) { return load<F32>(image + i * row_step + j * channels); },
            [&](int i, int j) __attribute__((always_inline)) {
              const int tap = i * N + j;
              const F32 gradient = load<F32>(dv + tap * v_tap) * load<F32>(mult + tap * channels);
              const I32 clipped = load_bytes(inside + tap * v_tap) == 0;
              return reinterpret_cast<F32>(~clipped & reinterpret_cast<I32>(gradient));
            },
            dbt,
            [&](int i, int j, F32 value) __attribute__((always_inline)) {
              float* const sum = sums + i * row_step + j * channels;
              store(sum, load<F32>(sum) + value);
            });
      }
    }
  }

  const TrainingConv& conv_;
  Strips strips_;
  TrainingLayout at_;
  bool backward_;
  const float* source_scale_;
  Matrix<N, kTile> bt_;
  Matrix<M, N> output_;
  float *v_ = nullptr, *m_ = nullptr, *strip_ = nullptr, *weights_ = nullptr, *mult_ = nullptr,
        *scale_ = nullptr, *absmax_ = nullptr, *dv_ = nullptr, *dstrip_ = nullptr;
  std::uint8_t *bytes_ = nullptr, *inside_ = nullptr;
};

}  // namespace tilewise::TILEWISE_SET
