// The caller's array into a tensor.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <type_traits>
#include <vector>

#include "kernels/pieces.h"
#include "kernels/turn.h"
#include "operations/input/params.h"

namespace tilewise::TILEWISE_SET {

// Numbers as they are, one or kPiece of one channel.
template <typename To>
struct PlainSource {
  using Raw = float;
  const To& to;

  typename To::Type operator()(std::int64_t, float v) const { return to.store(v); }
  void piece(std::int64_t, const float* x, typename To::Type* y) const { write_piece(to, y, numbers_at(x)); }
};

// Numbers, normalized.
template <typename To>
struct NormalizedSource {
  using Raw = float;
  const To& to;
  const float *mean, *deviation;  // [C]

  typename To::Type operator()(std::int64_t c, float v) const { return to.store((v - mean[c]) / deviation[c]); }
  void piece(std::int64_t c, const float* x, typename To::Type* y) const {
    Piece values = numbers_at(x);
    values.each([&](Real v, std::int64_t) { return (v - mean[c]) / deviation[c]; });
    write_piece(to, y, values);
  }
};

// Bytes by a table, [channel][256].
template <typename To>
struct ByteSource {
  using Raw = std::uint8_t;
  const typename To::Type* table;

  typename To::Type operator()(std::int64_t c, std::uint8_t v) const { return table[c * 256 + v]; }
  void piece(std::int64_t c, const std::uint8_t* x, typename To::Type* y) const {
    for (std::int64_t k = 0; k < kPiece; ++k) y[k] = table[c * 256 + x[k]];
  }
};

class InputOp final : public RowOp {
 public:
  explicit InputOp(const NetworkInput& params) : RowOp(*params.y), params_(params), y_(*params.y) {
    with_any_format(y_, [&](auto to) {
      using Y = typename decltype(to)::Type;
      table_.resize(static_cast<std::size_t>(y_.channels * 256) * sizeof(Y));
      auto* const table = reinterpret_cast<Y*>(table_.data());
      with_float_source(to, [&](const auto& source) {
        for (std::int64_t i = 0; i < y_.channels * 256; ++i) table[i] = source(i / 256, static_cast<float>(i % 256));
      });
    });
  }

 private:
  // Calls function(source) with what floats go through.
  template <typename To, typename Function>
  void with_float_source(const To& to, const Function& function) const {
    if (params_.mean.empty()) return function(PlainSource<To>{to});
    function(NormalizedSource<To>{to, params_.mean.data(), params_.deviation.data()});
  }

  void row(const Call& call, std::int64_t image, std::int64_t i) const override {
    const Port& port = call.inputs[params_.port];
    with_any_format(y_, [&](auto to) {
      using Y = typename decltype(to)::Type;
      if (port.dtype == Dtype::kUint8) {
        take(to, ByteSource<decltype(to)>{reinterpret_cast<const Y*>(table_.data())}, port, image, i);
      } else {
        with_float_source(to, [&](const auto& source) { take(to, source, port, image, i); });
      }
    });
  }

  template <typename To, typename Source>
  void take(const To& to, const Source& source, const Port& port, std::int64_t image, std::int64_t i) const {
    if (port.channels_last) return whole_pixels(to, source, port, image, i);
    if constexpr (std::is_same_v<To, GridFormat<std::uint8_t>>) {
      if (y_.stride == 4) return few_channels(to, source, port, image, i);
    }
    for (std::int64_t j = 0; j < y_.width; j += kPiece) {
      for (std::int64_t c = 0; c < y_.channels; c += kPiece) block<To>(source, port, image, i, j, c);
      auto* const y = pixel_at<typename To::Type>(y_, image, i, j);
      for (std::int64_t col = 0; col < std::min(kPiece, y_.width - j); ++col) {
        std::fill_n(y + col * y_.stride + y_.channels, y_.lanes() - y_.channels, to.zero_value());
      }
    }
  }

  template <typename To, typename Source>
  void whole_pixels(const To& to, const Source& source, const Port& port, std::int64_t image, std::int64_t i) const {
    const auto* x = reinterpret_cast<const typename Source::Raw*>(port.data) +
                    (image * y_.height + i) * y_.width * y_.channels;
    auto* y = pixel_at<typename To::Type>(y_, image, i, 0);
    for (std::int64_t j = 0; j < y_.width; ++j, x += y_.channels, y += y_.stride) {
      for (std::int64_t c = 0; c < y_.channels; ++c) y[c] = source(c, x[c]);
      std::fill_n(y + y_.channels, y_.lanes() - y_.channels, to.zero_value());
    }
  }

  template <typename Raw>
  const Raw* channel_row(const Port& port, std::int64_t image, std::int64_t c, std::int64_t i) const {
    return reinterpret_cast<const Raw*>(port.data) + ((image * y_.channels + c) * y_.height + i) * y_.width;
  }

  // What kPiece pixels of a channel become, of which the caller's array has `count`.
  template <typename Source, typename Y>
  void piece_of_row(const Source& source, const typename Source::Raw* x, std::int64_t count, std::int64_t c, Y* y) const {
    if (count == kPiece) return source.piece(c, x, y);
    typename Source::Raw edge[kPiece] = {};
    copy_piece(x, count, edge);
    source.piece(c, edge, y);
  }

  // Up to four channels of a pixel are put together in one number, so that all of a vector are pixels.
  template <typename Source>
  void few_channels(const GridFormat<std::uint8_t>& to, const Source& source, const Port& port, std::int64_t image,
                    std::int64_t i) const {
    std::uint8_t bytes[4][kPiece];
    for (std::int64_t k = y_.channels; k < 4; ++k) std::fill_n(bytes[k], kPiece, to.zero_value());
    auto* const y = pixel_at<std::uint8_t>(y_, image, i, 0);
    for (std::int64_t j = 0; j < y_.width; j += kPiece) {
      const std::int64_t cols = std::min(kPiece, y_.width - j);
      for (std::int64_t k = 0; k < y_.channels; ++k)
        piece_of_row(source, channel_row<typename Source::Raw>(port, image, k, i) + j, cols, k, bytes[k]);
      std::uint32_t pixels[kPiece];  // little-endian, as all machines are
      for (std::int64_t col = 0; col < kPiece; ++col) {
        pixels[col] = std::uint32_t{bytes[0][col]} | std::uint32_t{bytes[1][col]} << 8 |
                      std::uint32_t{bytes[2][col]} << 16 | std::uint32_t{bytes[3][col]} << 24;
      }
      copy_piece(pixels, cols, reinterpret_cast<std::uint32_t*>(y + j * 4));
    }
  }

  // Channels first and channels last meet in square blocks of kPiece, so that both sides are walked along their rows.
  template <typename To, typename Source>
  void block(const Source& source, const Port& port, std::int64_t image, std::int64_t i, std::int64_t j,
             std::int64_t c) const {
    using Y = typename To::Type;
    const std::int64_t cols = std::min(kPiece, y_.width - j), channels = std::min(kPiece, y_.channels - c);
    Y values[kPiece][kPiece] = {}, turned[kPiece][kPiece];
    for (std::int64_t k = 0; k < channels; ++k)
      piece_of_row(source, channel_row<typename Source::Raw>(port, image, c + k, i) + j, cols, c + k, values[k]);
    Turn<Y>::block(values, turned);
    Y* const y = pixel_at<Y>(y_, image, i, j) + c;
    for (std::int64_t col = 0; col < cols; ++col) copy_piece(turned[col], channels, y + col * y_.stride);
  }

  NetworkInput params_;
  const TensorRef& y_;
  std::vector<std::byte> table_;  // [channel][256] of what is stored
};

inline std::unique_ptr<Op> make_input(const NetworkInput& params) { return std::make_unique<InputOp>(params); }

}  // namespace tilewise::TILEWISE_SET
