// Interpolation of two or four pixels along each axis.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <memory>
#include <type_traits>

#include "kernels/pieces.h"
#include "operations/resize/params.h"

namespace tilewise::TILEWISE_SET {

class ResizeOp final : public RowOp {
 public:
  explicit ResizeOp(const Resize& params) : RowOp(*params.y), params_(params) {}

 private:
  void row(const Call&, std::int64_t image, std::int64_t i) const override {
    with_format(*params_.x, [&](auto from) {
      with_format(*params_.y, [&](auto to) {
        for (std::int64_t j = 0; j < params_.y->width; ++j) {
          if (params_.rows.empty()) {
            cubic_pixel(from, to, image, i, j);
          } else {
            one_pixel(from, to, image, i, j);
          }
        }
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
    if constexpr (std::is_same_v<X, typename To::Type>) {
      if (fr == 0 && fc == 0 && same_format(*params_.x, *params_.y)) {
        std::memcpy(y, x00, static_cast<std::size_t>(params_.y->channels) * sizeof(X));
        std::fill_n(y + params_.y->channels, params_.y->lanes() - params_.y->channels, to.zero_value());
        return;
      }
    }
    write_pixel(to, *params_.y, image, i, j, [&](std::int64_t first) {
      const Piece right = read_piece(from, x01 + first), below = read_piece(from, x10 + first);
      const Piece across = read_piece(from, x11 + first);
      Piece piece = read_piece(from, x00 + first);
      piece.each([&](Real v, std::int64_t l) {
        const std::int64_t k = l / kReals;
        const Real upper = (1 - fc) * v + fc * right.part[k];
        const Real lower = (1 - fc) * below.part[k] + fc * across.part[k];
        return (1 - fr) * upper + fr * lower;
      });
      return piece;
    });
  }

  template <typename From, typename To>
  void cubic_pixel(const From& from, const To& to, std::int64_t image, std::int64_t i, std::int64_t j) const {
    using X = typename From::Type;
    const Resize::Cubic& rows = params_.cubic_rows[static_cast<std::size_t>(i)];
    const Resize::Cubic& cols = params_.cubic_cols[static_cast<std::size_t>(j)];
    const X* x[4][4];
    for (std::size_t r = 0; r < 4; ++r) {
      for (std::size_t k = 0; k < 4; ++k) x[r][k] = pixel_at<const X>(*params_.x, image, rows.pixels[r], cols.pixels[k]);
    }
    write_pixel(to, *params_.y, image, i, j, [&](std::int64_t first) {
      Piece sum = all_of(0);
      for (std::size_t r = 0; r < 4; ++r) {
        Piece along = all_of(0);
        for (std::size_t k = 0; k < 4; ++k) {
          const Piece v = read_piece(from, x[r][k] + first);
          along.each([&](Real a, std::int64_t l) { return a + cols.weights[k] * v.part[l / kReals]; });
        }
        sum.each([&](Real s, std::int64_t l) { return s + rows.weights[r] * along.part[l / kReals]; });
      }
      return sum;
    });
  }

  Resize params_;
};

inline std::unique_ptr<Op> make_resize(const Resize& params) { return std::make_unique<ResizeOp>(params); }

}  // namespace tilewise::TILEWISE_SET
