// Maximum and mean over windows.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <memory>

#include "kernels/pieces.h"
#include "kernels/op.h"
#include "operations/pool/params.h"

namespace tilewise::TILEWISE_SET {

class PoolOp final : public RowOp {
 public:
  explicit PoolOp(const Pool& params)
      : RowOp(*params.y), params_(params), same_format_(same_format(*params.x, *params.y)) {}

 private:
  void row(const Call&, std::int64_t image, std::int64_t i) const override {
    with_format(*params_.x, [&](auto from) {
      using X = typename decltype(from)::Type;
      constexpr std::int64_t kWide = 64;
      if (params_.maximum && same_format_) {
        const std::int64_t bytes = params_.y->lanes() * bytes_of(params_.y->dtype);
        if (bytes % kWide == 0) return maxima<X, kWide>(image, i);
        return bytes % (kWide / 2) == 0 ? maxima<X, kWide / 2>(image, i) : maxima<X, kPiece * sizeof(X)>(image, i);
      }
      with_format(*params_.y, [&](auto to) {
        for (std::int64_t j = 0; j < params_.y->width; ++j) {
          if (params_.maximum) {
            maximum(from, to, image, i, j);
          } else {
            mean(from, to, image, i, j);
          }
        }
      });
    });
  }

  // A row of maxima of numbers on the same grid, kWidth bytes of channels at once, lanes beyond the channels
  // included: they hold zero, before and after.
  template <typename X, std::int64_t kWidth>
  void maxima(std::int64_t image, std::int64_t i) const {
    using Vector [[gnu::vector_size(kWidth), gnu::aligned(1), gnu::may_alias]] = X;
    for (std::int64_t j = 0; j < params_.y->width; ++j) {
      const X* const x =
          pixel_at<const X>(*params_.x, image, params_.rows[index(i)].begin, params_.cols[index(j)].begin);
      X* const y = pixel_at<X>(*params_.y, image, i, j);
      for (std::int64_t c = 0; c < params_.y->lanes(); c += kWidth / static_cast<std::int64_t>(sizeof(X))) {
        Vector best = *reinterpret_cast<const Vector*>(x + c);
        for_window(i, j, [&](std::int64_t offset) {
          const Vector value = *reinterpret_cast<const Vector*>(x + offset + c);
          best = best < value ? value : best;
        });
        *reinterpret_cast<Vector*>(y + c) = best;
      }
    }
  }

  template <typename From, typename To>
  void maximum(const From& from, const To& to, std::int64_t image, std::int64_t i, std::int64_t j) const {
    using X = typename From::Type;
    const X* const x =
        pixel_at<const X>(*params_.x, image, params_.rows[index(i)].begin, params_.cols[index(j)].begin);
    auto* const y = pixel_at<typename To::Type>(*params_.y, image, i, j);
    for_channels(params_.y->channels, [&](std::int64_t first, auto lanes) {
      X best[kPiece];
      for (std::int64_t c = 0; c < lanes; ++c) best[c] = x[first + c];
      for_window(i, j, [&](std::int64_t offset) {
        for (std::int64_t c = 0; c < lanes; ++c) {
          const X value = x[offset + first + c];
          best[c] = best[c] < value ? value : best[c];
        }
      });
      float values[kPiece] = {};
      for (std::int64_t c = 0; c < lanes; ++c) values[c] = from.real(best[c]);
      write_piece(to, y + first, numbers_at(values));
    });
    std::fill_n(y + params_.y->channels, params_.y->lanes() - params_.y->channels, to.zero_value());
  }

  template <typename From, typename To>
  void mean(const From& from, const To& to, std::int64_t image, std::int64_t i, std::int64_t j) const {
    const Pool::Span& rows = params_.rows[index(i)];
    const Pool::Span& cols = params_.cols[index(j)];
    const auto* const x = pixel_at<const typename From::Type>(*params_.x, image, rows.begin, cols.begin);
    auto* const y = pixel_at<typename To::Type>(*params_.y, image, i, j);
    const std::int64_t count = rows.counted * cols.counted;
    const float reciprocal = 1.0f / static_cast<float>(params_.divisor == 0 ? count : params_.divisor);
    for_channels(params_.y->channels, [&](std::int64_t first, auto lanes) {
      typename From::Sum sums[kPiece] = {};
      for_window(i, j, [&](std::int64_t offset) {
        for (std::int64_t c = 0; c < lanes; ++c) sums[c] += from.steps(x[offset + first + c]);
      });
      float values[kPiece];
      for (std::int64_t c = 0; c < kPiece; ++c) values[c] = from.mean(sums[c], reciprocal);
      write_piece(to, y + first, numbers_at(values));
    });
    std::fill_n(y + params_.y->channels, params_.y->lanes() - params_.y->channels, to.zero_value());
  }

  // Calls function(offset from the window's first pixel) for every pixel of an output pixel's window, row by
  // row.
  template <typename Function>
  void for_window(std::int64_t i, std::int64_t j, const Function& function) const {
    const Pool::Span& rows = params_.rows[index(i)];
    const Pool::Span& cols = params_.cols[index(j)];
    for (std::int64_t row = 0; row < rows.end - rows.begin; ++row) {
      for (std::int64_t col = 0; col < cols.end - cols.begin; ++col) {
        function((row * params_.x->width + col) * params_.x->stride);
      }
    }
  }

  static std::size_t index(std::int64_t i) { return static_cast<std::size_t>(i); }

  Pool params_;
  bool same_format_;
};

inline std::unique_ptr<Op> make_pool(const Pool& params) { return std::make_unique<PoolOp>(params); }

}  // namespace tilewise::TILEWISE_SET
