// One row of tiles of an image in training: its pixels quantized, and what the way back adds up for them.
//
//
// A strip holds the t rows of pixels under a row of tiles, with all padding, [row][column][padded channels].
#pragma once

#include "kernels/training.h"
#include "kernels/training/weights.h"

namespace tilewise::TILEWISE_SET {

// The first `count` numbers at p, then zeros; all of a vector, or fewer at the end of a pixel's channels.
[[gnu::always_inline]] inline F32 load_part(const float* p, std::int64_t count) {
  if (count >= kLanes) return load<F32>(p);
  F32 part{};
  std::memcpy(&part, p, static_cast<std::size_t>(count) * sizeof(float));
  return part;
}
[[gnu::always_inline]] inline void store_part(float* p, F32 v, std::int64_t count) {
  if (count >= kLanes) {
    store(p, v);
  } else {
    std::memcpy(p, &v, static_cast<std::size_t>(count) * sizeof(float));
  }
}

// The first lanes, and the first one again in all others.
[[gnu::always_inline]] inline F32 filled(F32 v, std::int64_t count) {
  for (std::int64_t lane = count; lane < kLanes; ++lane) v[lane] = v[0];
  return v;
}

// Smallest and largest value, lane by lane; not numbers if one of the values is none.
struct LaneRange {
  F32 low, high, broken{};

  explicit LaneRange(const ValueRange& range) : low(splat(range.low)), high(splat(range.high)) {}
  [[gnu::always_inline]] void add(F32 v) {
    low = smaller(low, v);
    high = larger(high, v);
    broken = fused(v, F32{}, broken);
  }
  // Zero, or not a number.
  float poison() const {
    float sum = 0;
    for (int lane = 0; lane < kLanes; ++lane) sum += broken[lane];
    return sum;
  }
  ValueRange get() const {
    ValueRange range{low[0], high[0]};
    for (int lane = 1; lane < kLanes; ++lane) {
      range.low = std::min(range.low, low[lane]);
      range.high = std::max(range.high, high[lane]);
    }
    return {range.low + poison(), range.high + poison()};
  }
};

struct GridVectors {
  F32 factor, low, high;

  explicit GridVectors(const InputGrid& grid)
      : factor(splat(grid.factor)), low(splat(grid.low)), high(splat(grid.high)) {}
  [[gnu::always_inline]] F32 quantize(F32 v) const { return to_grid(v, factor, low, high); }
  // The gradient where quantize(v) clips nothing, else zero.
  [[gnu::always_inline]] F32 pass(F32 v, F32 gradient) const {
    const F32 rounded = rounded_down(v * factor + 0.5F);
    const I32 inside = smaller(high, larger(low, rounded)) == rounded;
    return reinterpret_cast<F32>(inside & reinterpret_cast<I32>(gradient));
  }
};

class Strips {
 public:
  explicit Strips(const TrainingConv& conv)
      : conv_(conv),
        grid_(conv.grid),
        padded_(padded_channels(conv.channels)),
        width_(conv.tile_cols() * conv.m + conv.r - 1) {}

  std::int64_t row_step() const { return width_ * padded_; }
  std::int64_t floats() const { return conv_.t() * row_step(); }

  // The integers under row `tile_row` of the tiles of an image, zero outside of it.
  void quantize(const float* image, std::int64_t tile_row, float* strip, LaneRange& seen) const {
    const GridVectors grid = grid_;  // copies, which stores to memory can not change
    LaneRange range = seen;
    const std::int64_t next = conv_.m * conv_.width * conv_.channels;  // row of tiles: on its way meanwhile
    for (std::int64_t i = 0; i < conv_.t(); ++i, strip += row_step()) {
      const float* const from = pixels(image, tile_row, i);
      if (from == nullptr) {
        std::fill_n(strip, row_step(), 0.0F);
        continue;
      }
      float* const first = strip + conv_.pad_left * padded_;
      float* const last = first + conv_.width * padded_;
      std::fill(strip, first, 0.0F);
      std::fill(last, strip + row_step(), 0.0F);
      for_vectors(from, first,
                  [&](const float* in, float* to, std::int64_t count) __attribute__((always_inline)) {
                    __builtin_prefetch(in + next);
                    const F32 v = load_part(in, count);
                    // The zeros behind a part of a vector are no pixels: its first one counts in their place.
                    range.add(count >= kLanes ? v : filled(v, count));
                    store(to, grid.quantize(v));
                  });
    }
    seen = range;
  }

  // Takes the gradient of the pixels that no later row of tiles adds to, and makes room for the next row.
  void flush(const float* image, std::int64_t tile_row, float* strip, float* dimage) const {
    const GridVectors grid = grid_;
    const bool last = tile_row + 1 == conv_.tile_rows();
    for (std::int64_t i = 0; i < (last ? conv_.t() : conv_.m); ++i) {
      const float* const from = pixels(image, tile_row, i);
      if (from == nullptr) continue;
      float* const sums = strip + i * row_step() + conv_.pad_left * padded_;
      for_vectors(from, sums,
                  [&](const float* in, const float* sum, std::int64_t count) __attribute__((always_inline)) {
                    const F32 gradient = load<F32>(sum) * grid.factor;
                    store_part(dimage + (in - image), grid.pass(load_part(in, count), gradient), count);
                  });
    }
    const std::int64_t kept = last ? 0 : conv_.r - 1;
    std::copy_n(strip + conv_.m * row_step(), kept * row_step(), strip);
    std::fill(strip + kept * row_step(), strip + floats(), 0.0F);
  }

 private:
  // The image's row under row i of a strip, or null.
  const float* pixels(const float* image, std::int64_t tile_row, std::int64_t i) const {
    const std::int64_t row = tile_row * conv_.m + i - conv_.pad_top;
    return 0 <= row && row < conv_.height ? image + row * conv_.width * conv_.channels : nullptr;
  }

  // function(in the image, in the strip, channels) for all vectors of a row of pixels. Whole vectors of
  // padding, which there are where vectors are short, are zeroed.
  template <typename Function>
  [[gnu::always_inline]] void for_vectors(const float* image, float* strip, const Function& function) const {
    if (conv_.channels == padded_) {
      for (std::int64_t i = 0; i < conv_.width * padded_; i += kLanes)
        function(image + i, strip + i, std::int64_t{kLanes});
      return;
    }
    for (std::int64_t x = 0; x < conv_.width; ++x, image += conv_.channels, strip += padded_) {
      for (std::int64_t c = 0; c < conv_.channels; c += kLanes)
        function(image + c, strip + c, conv_.channels - c);
      std::fill(strip + round_up(conv_.channels, kLanes), strip + padded_, 0.0F);
    }
  }

  const TrainingConv& conv_;
  GridVectors grid_;
  std::int64_t padded_, width_;
};

}  // namespace tilewise::TILEWISE_SET
