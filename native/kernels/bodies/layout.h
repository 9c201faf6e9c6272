// Operations that put numbers elsewhere: in and out of the network, gathers, pixel shuffle, bilinear
// resizing. Included as format.h says.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <memory>
#include <type_traits>

#include "kernels/bodies/format.h"
#include "kernels/op.h"

namespace tilewise::TILEWISE_SET {

// NCHW and channels last meet in square blocks of kPiece, so that both sides are walked along their rows.
class ImportOp final : public RowOp {
 public:
  explicit ImportOp(const Import& params) : RowOp(*params.y), y_(*params.y) {}

 private:
  void row(const Call& call, std::int64_t image, std::int64_t i) const override {
    with_any_format(y_, [&](auto to) {
      if constexpr (std::is_same_v<decltype(to), GridFormat<std::uint8_t>>) {
        if (y_.stride == 4) return few_channels(to, call.input, image, i);
      }
      for (std::int64_t j = 0; j < y_.width; j += kPiece) {
        for (std::int64_t c = 0; c < y_.channels; c += kPiece) block(to, call.input, image, i, j, c);
        auto* const y = pixel_at<typename decltype(to)::Type>(y_, image, i, j);
        for (std::int64_t col = 0; col < std::min(kPiece, y_.width - j); ++col) {
          std::fill_n(y + col * y_.stride + y_.channels, y_.stride - y_.channels, to.zero_value());
        }
      }
    });
  }

  // Up to four channels of a pixel are put together in one number, so that all of a vector are pixels.
  void few_channels(const GridFormat<std::uint8_t>& to, const float* input, std::int64_t image,
                    std::int64_t i) const {
    auto* const y = pixel_at<std::uint8_t>(y_, image, i, 0);
    std::uint32_t beyond = 0;
    for (std::int64_t k = y_.channels; k < 4; ++k) beyond |= std::uint32_t{to.zero_value()} << (8 * k);
    for_channels(y_.width, [&](std::int64_t first, auto cols) {
      std::uint32_t pixels[kPiece];
      for (std::int64_t col = 0; col < cols; ++col) pixels[col] = beyond;
      for (std::int64_t k = 0; k < y_.channels; ++k) {
        const float* const x = input + ((image * y_.channels + k) * y_.height + i) * y_.width + first;
        for (std::int64_t col = 0; col < cols; ++col)
          pixels[col] |= std::uint32_t{to.store(x[col])} << (8 * k);  // little-endian, as all machines are
      }
      std::memcpy(y + first * 4, pixels, static_cast<std::size_t>(cols) * sizeof(std::uint32_t));
    });
  }

  template <typename To>
  void block(const To& to, const float* input, std::int64_t image, std::int64_t i, std::int64_t j,
             std::int64_t c) const {
    using Y = typename To::Type;
    const std::int64_t cols = std::min(kPiece, y_.width - j), channels = std::min(kPiece, y_.channels - c);
    Y values[kPiece][kPiece];
    for (std::int64_t k = 0; k < channels; ++k) {
      const float* const x = input + ((image * y_.channels + c + k) * y_.height + i) * y_.width + j;
      for_channels(cols, [&](std::int64_t first, auto lanes) {
        for (std::int64_t col = 0; col < lanes; ++col) values[k][first + col] = to.store(x[first + col]);
      });
    }
    Y* const y = pixel_at<Y>(y_, image, i, j) + c;
    for (std::int64_t col = 0; col < cols; ++col) {
      for (std::int64_t k = 0; k < channels; ++k) y[col * y_.stride + k] = values[k][col];
    }
  }

  const TensorRef& y_;
};

class ExportOp final : public RowOp {
 public:
  explicit ExportOp(const Export& params) : RowOp(*params.x), x_(*params.x) {}

 private:
  void row(const Call& call, std::int64_t image, std::int64_t i) const override {
    with_format(x_, [&](auto from) {
      for (std::int64_t j = 0; j < x_.width; j += kPiece) {
        for (std::int64_t c = 0; c < x_.channels; c += kPiece) block(from, call.output, image, i, j, c);
      }
    });
  }

  template <typename From>
  void block(const From& from, float* output, std::int64_t image, std::int64_t i, std::int64_t j,
             std::int64_t c) const {
    using X = typename From::Type;
    const std::int64_t cols = std::min(kPiece, x_.width - j), channels = std::min(kPiece, x_.channels - c);
    float values[kPiece][kPiece];
    const X* const x = pixel_at<const X>(x_, image, i, j) + c;
    for (std::int64_t col = 0; col < cols; ++col) {
      for_channels(channels, [&](std::int64_t first, auto lanes) {
        for (std::int64_t k = 0; k < lanes; ++k)
          values[col][first + k] = from.real(x[col * x_.stride + first + k]);
      });
    }
    for (std::int64_t k = 0; k < channels; ++k) {
      float* const y = output + ((image * x_.channels + c + k) * x_.height + i) * x_.width + j;
      for (std::int64_t col = 0; col < cols; ++col) y[col] = values[col][k];
    }
  }

  const TensorRef& x_;
};

class GatherOp final : public RowOp {
 public:
  explicit GatherOp(const Gather& params)
      : RowOp(*params.y), params_(params), same_format_(same_format(*params.x, *params.y)) {}

 private:
  void row(const Call&, std::int64_t image, std::int64_t i) const override {
    const TensorRef& source = *params_.x;
    const TensorRef& target = *params_.y;
    const std::int64_t from_row = params_.rows[static_cast<std::size_t>(i)],
                       end = params_.first + source.channels;
    with_format(source, [&](auto from) {
      with_format(target, [&](auto to) {
        using X = typename decltype(from)::Type;
        for (std::int64_t j = 0; j < target.width; ++j) {
          const std::int64_t from_col = params_.cols[static_cast<std::size_t>(j)];
          auto* const y = pixel_at<typename decltype(to)::Type>(target, image, i, j);
          if (from_row < 0 || from_col < 0) {
            std::fill_n(y + params_.first, source.channels, to.zero_value());
          } else {
            copy(from, to, pixel_at<const X>(source, image, from_row, from_col), y + params_.first);
          }
          if (params_.clear) {
            std::fill_n(y, params_.first, to.zero_value());
            std::fill_n(y + end, target.stride - end, to.zero_value());
          }
        }
      });
    });
  }

  template <typename From, typename To>
  void copy(const From& from, const To& to, const typename From::Type* x, typename To::Type* y) const {
    const std::int64_t channels = params_.x->channels;
    if (same_format_) {
      std::memcpy(y, x, static_cast<std::size_t>(channels) * sizeof(*x));
      return;
    }
    for_channels(channels, [&](std::int64_t first, auto lanes) {
      for (std::int64_t c = 0; c < lanes; ++c) y[first + c] = to.store(from.real(x[first + c]));
    });
  }

  Gather params_;
  bool same_format_;
};

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
        std::fill_n(y + target.channels, target.stride - target.channels, format.zero_value());
      }
    });
  }

  PixelShuffle params_;
};

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

inline std::unique_ptr<Op> make_import_nchw(const Import& params) {
  return std::make_unique<ImportOp>(params);
}
inline std::unique_ptr<Op> make_export_nchw(const Export& params) {
  return std::make_unique<ExportOp>(params);
}
inline std::unique_ptr<Op> make_gather(const Gather& params) { return std::make_unique<GatherOp>(params); }
inline std::unique_ptr<Op> make_pixel_shuffle(const PixelShuffle& params) {
  return std::make_unique<PixelShuffleOp>(params);
}
inline std::unique_ptr<Op> make_resize(const Resize& params) { return std::make_unique<ResizeOp>(params); }

}  // namespace tilewise::TILEWISE_SET
