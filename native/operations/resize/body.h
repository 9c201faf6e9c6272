// Interpolation of two or four pixels along each axis.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <memory>
#include <type_traits>
#include <vector>

#include "base/aligned.h"
#include "kernels/pieces.h"
#include "operations/resize/params.h"

namespace tilewise::TILEWISE_SET {

class ResizeOp final : public RowOp {
 public:
  explicit ResizeOp(const Resize& params) : RowOp(*params.y), params_(params) {
    if (blends_narrow_pixels()) tabulate();
  }

 private:
  // Whether columns lie between others, of pixels of few channels that lie alike in both tensors.
  bool blends_narrow_pixels() const {
    const std::int64_t stride = params_.y->stride;
    return params_.x->stride == stride && stride < kPiece && !params_.y->within &&
           std::any_of(params_.cols.begin(), params_.cols.end(), [](const Resize::Tap& tap) { return tap.weight != 0; });
  }

  // For each channel of each pixel of a row of y, where its two lie in a row of x, and the weight of the second.
  void tabulate() {
    const std::int64_t stride = params_.x->stride;
    for (const Resize::Tap& tap : params_.cols) {
      for (std::int64_t c = 0; c < params_.y->channels; ++c) {
        lefts_.push_back(static_cast<std::int32_t>(tap.low * stride + c));
        rights_.push_back(static_cast<std::int32_t>(tap.high * stride + c));
        weights_.push_back(tap.weight);
      }
    }
  }

  void row(const Call&, std::int64_t image, std::int64_t i) const override {
    with_format(*params_.x, [&](auto from) {
      with_format(*params_.y, [&](auto to) {
        if (!weights_.empty()) return narrow_row(from, to, image, i);
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

  // A row of pixels of few channels, as numbers that follow each other: one pixel at a time would fill a piece with one.
  template <typename From, typename To>
  void narrow_row(const From& from, const To& to, std::int64_t image, std::int64_t i) const {
    const TensorRef& y = *params_.y;
    const Resize::Tap& rows = params_.rows[static_cast<std::size_t>(i)];
    const AlignedVector<float> above = numbers_of(from, image, rows.low), below = numbers_of(from, image, rows.high);
    AlignedVector<float> made(weights_.size());
    const float fr = rows.weight;
    for (std::size_t l = 0; l < weights_.size(); ++l) {
      const auto left = static_cast<std::size_t>(lefts_[l]), right = static_cast<std::size_t>(rights_[l]);
      const float fc = weights_[l];
      const float upper = (1 - fc) * above[left] + fc * above[right];
      const float lower = (1 - fc) * below[left] + fc * below[right];
      made[l] = (1 - fr) * upper + fr * lower;
    }
    if (fr == 0 && same_format(*params_.x, y)) {  // pixels that stay keep the sign of a zero, whatever is beside them
      for (std::size_t l = 0; l < weights_.size(); ++l) {
        if (weights_[l] == 0) made[l] = above[static_cast<std::size_t>(lefts_[l])];
      }
    }
    const AlignedVector<float> numbers = spread(made);
    const std::int64_t count = y.width * y.stride;
    auto* const out = pixel_at<typename To::Type>(y, image, i, 0);
    for (std::int64_t l = 0; l < count; l += kPiece) {
      const Piece piece = numbers_at(numbers.data() + l);
      if (l + kPiece <= count) {
        write_piece(to, out + l, piece);
      } else {
        write_part(to, out + l, piece, count - l);
      }
    }
  }

  // Channels that follow each other, with zeros after those of each pixel.
  AlignedVector<float> spread(const AlignedVector<float>& made) const {
    const std::int64_t channels = params_.y->channels, stride = params_.y->stride;
    AlignedVector<float> numbers(static_cast<std::size_t>(params_.y->width * stride + kPiece), 0.0F);
    const float* from = made.data();
    float* to = numbers.data();
    for (std::int64_t j = 0; j < params_.y->width; ++j, from += channels, to += stride) {
      for (std::int64_t c = 0; c < channels; ++c) to[c] = from[c];
    }
    return numbers;
  }

  // A row of x as real numbers.
  template <typename From>
  AlignedVector<float> numbers_of(const From& from, std::int64_t image, std::int64_t row) const {
    const std::int64_t count = params_.x->width * params_.x->stride;
    AlignedVector<float> numbers(static_cast<std::size_t>(count + kPiece));
    const auto* const x = pixel_at<const typename From::Type>(*params_.x, image, row, 0);
    for (std::int64_t l = 0; l < count; l += kPiece) {
      const Piece piece = read_piece(from, x + l);
      std::memcpy(numbers.data() + l, piece.part, sizeof piece.part);
    }
    return numbers;
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
  std::vector<std::int32_t> lefts_, rights_;
  std::vector<float> weights_;
};

inline std::unique_ptr<Op> make_resize(const Resize& params) { return std::make_unique<ResizeOp>(params); }

}  // namespace tilewise::TILEWISE_SET
