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
      for (std::int64_t j = 0; j < target.width; ++j) {
        const T* const x = pixel_at<const T>(*params_.x, image, i / f, j / f) + (i % f) * f + j % f;
        T* const y = pixel_at<T>(target, image, i, j);
        for (std::int64_t c = 0; c < target.channels; ++c) y[c] = x[c * f * f];
        std::fill_n(y + target.channels, target.lanes() - target.channels, format.zero_value());
      }
    });
  }

  PixelShuffle params_;
};

inline std::unique_ptr<Op> make_pixel_shuffle(const PixelShuffle& params) { return std::make_unique<PixelShuffleOp>(params); }

}  // namespace tilewise::TILEWISE_SET
