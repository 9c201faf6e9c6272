// Pixel shuffle: channels become pixels.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <memory>

#include "kernels/format.h"
#include "operations/pixel_shuffle/params.h"

namespace tilewise::TILEWISE_SET {

class PixelShuffleOp final : public RowOp {
 public:
  explicit PixelShuffleOp(const PixelShuffle& params) : RowOp(*params.y), params_(params) {}

 private:
  void row(const Call&, std::int64_t image, std::int64_t i) const override {
    const TensorRef& target = *params_.y;
    const std::int64_t f = params_.factor;
    with_format(target, [&](auto format) {
      using T = typename decltype(format)::Type;
      if (target.stride == kNarrowGroup && !target.within) {
        switch (target.channels) {
          case 1: return narrow_row<1>(format, image, i);
          case 2: return narrow_row<2>(format, image, i);
          case 3: return narrow_row<3>(format, image, i);
          default: return narrow_row<4>(format, image, i);
        }
      }
      for (std::int64_t col = 0; col < params_.x->width; ++col) {
        const T* const x = pixel_at<const T>(*params_.x, image, i / f, col) + (i % f) * f;
        T* y = pixel_at<T>(target, image, i, col * f);
        for (std::int64_t j = 0; j < f; ++j, y += target.stride) {
          for (std::int64_t c = 0; c < target.channels; ++c) y[c] = x[c * f * f + j];
          std::fill_n(y + target.channels, target.lanes() - target.channels, format.zero_value());
        }
      }
    });
  }


  // Pixels of few channels, each written at once.
  template <std::int64_t Channels, typename Format>
  void narrow_row(const Format& format, std::int64_t image, std::int64_t i) const {
    using T = typename Format::Type;
    const std::int64_t f = params_.factor;
    auto* y = pixel_at<T>(*params_.y, image, i, 0);
    for (std::int64_t col = 0; col < params_.x->width; ++col) {
      const T* const x = pixel_at<const T>(*params_.x, image, i / f, col) + i % f * f;
      for (std::int64_t j = 0; j < f; ++j, y += kNarrowGroup) {
        T pixel[kNarrowGroup];
        for (std::int64_t c = 0; c < kNarrowGroup; ++c) pixel[c] = c < Channels ? x[c * f * f + j] : format.zero_value();
        std::memcpy(y, pixel, sizeof pixel);
      }
    }
  }

  PixelShuffle params_;
};

inline std::unique_ptr<Op> make_pixel_shuffle(const PixelShuffle& params) { return std::make_unique<PixelShuffleOp>(params); }

}  // namespace tilewise::TILEWISE_SET
