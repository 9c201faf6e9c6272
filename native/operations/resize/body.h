// Bilinear interpolation.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <memory>

#include "kernels/format.h"
#include "operations/resize/params.h"

namespace tilewise::TILEWISE_SET {

class ResizeOp final : public RowOp {
 public:
  explicit ResizeOp(const Resize& params) : RowOp(*params.y), params_(params) {}

 private:
  void row(const Call&, std::int64_t image, std::int64_t i) const override {
    with_format(*params_.x, [&](auto from) {
      with_format(*params_.y, [&](auto to) {
        for (std::int64_t j = 0; j < params_.y->width; ++j) one_pixel(from, to, image, i, j);
      });
    });
  }

  template <typename From, typename To>
  void one_pixel(const From& from, const To& to, std::int64_t image, std::int64_t i, std::int64_t j) const {
    using X = typename From::Type;
    const Resize::Tap& rows = params_.rows[static_cast<std::size_t>(i)];
    const Resize::Tap& cols = params_.cols[static_cast<std::size_t>(j)];
    const X* const x00 = pixel_at<const X>(*params_.x, image, rows.low, cols.low);
    const X* const x01 = pixel_at<const X>(*params_.x, image, rows.low, cols.high);
    const X* const x10 = pixel_at<const X>(*params_.x, image, rows.high, cols.low);
    const X* const x11 = pixel_at<const X>(*params_.x, image, rows.high, cols.high);
    auto* const y = pixel_at<typename To::Type>(*params_.y, image, i, j);
    const float fr = rows.weight, fc = cols.weight;
    for_channels(params_.y->channels, [&](std::int64_t first, auto lanes) {
      for (std::int64_t c = first; c < first + lanes; ++c) {
        const float upper = (1 - fc) * from.real(x00[c]) + fc * from.real(x01[c]);
        const float lower = (1 - fc) * from.real(x10[c]) + fc * from.real(x11[c]);
        y[c] = to.store((1 - fr) * upper + fr * lower);
      }
    });
    std::fill_n(y + params_.y->channels, params_.y->stride - params_.y->channels, to.zero_value());
  }

  Resize params_;
};

inline std::unique_ptr<Op> make_resize(const Resize& params) { return std::make_unique<ResizeOp>(params); }

}  // namespace tilewise::TILEWISE_SET
