// A tensor into the caller's array.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <memory>

#include "kernels/turn.h"
#include "operations/output/params.h"

namespace tilewise::TILEWISE_SET {

class OutputOp final : public RowOp {
 public:
  explicit OutputOp(const NetworkOutput& params) : RowOp(*params.x), x_(*params.x), port_(params.port) {}

 private:
  static constexpr std::int64_t kFewChannels = 4;

  void row(const Call& call, std::int64_t image, std::int64_t i) const override {
    const Port& port = call.outputs[port_];
    with_format(x_, [&](auto from) {
      using X = typename decltype(from)::Type;
      if (port.dtype == Dtype::kFloat32) {
        put<X, float>(port, image, i, [&](X value) { return from.real(value); });
      } else {
        put<X, X>(port, image, i, [](X value) { return value; });
      }
    });
  }

  template <typename X, typename Y, typename Convert>
  void put(const Port& port, std::int64_t image, std::int64_t i, const Convert& convert) const {
    if (port.channels_last) return whole_pixels<X, Y>(port, image, i, convert);
    if (x_.channels <= kFewChannels) return few_channels<X, Y>(port, image, i, convert);
    for (std::int64_t j = 0; j < x_.width; j += kPiece) {
      for (std::int64_t c = 0; c < x_.channels; c += kPiece) block<X, Y>(port, image, i, j, c, convert);
    }
  }

  template <typename X, typename Y, typename Convert>
  void whole_pixels(const Port& port, std::int64_t image, std::int64_t i, const Convert& convert) const {
    Y* to = reinterpret_cast<Y*>(port.data) + (image * x_.height + i) * x_.width * x_.channels;
    for (std::int64_t j = 0; j < x_.width; ++j, to += x_.channels) {
      const X* const x = pixel_at<const X>(x_, image, i, j);
      for_channels(x_.channels, [&](std::int64_t first, auto lanes) {
        for (std::int64_t c = first; c < first + lanes; ++c) to[c] = convert(x[c]);
      });
    }
  }

  // Squares would be mostly empty.
  template <typename X, typename Y, typename Convert>
  void few_channels(const Port& port, std::int64_t image, std::int64_t i, const Convert& convert) const {
    const X* const x = pixel_at<const X>(x_, image, i, 0);
    for (std::int64_t c = 0; c < x_.channels; ++c) {
      Y* const y = reinterpret_cast<Y*>(port.data) + ((image * x_.channels + c) * x_.height + i) * x_.width;
      for (std::int64_t j = 0; j < x_.width; ++j) y[j] = convert(x[j * x_.stride + c]);
    }
  }

  // Channels last and channels first meet in square blocks of kPiece, so that both sides are walked along their rows.
  template <typename X, typename Y, typename Convert>
  void block(const Port& port, std::int64_t image, std::int64_t i, std::int64_t j, std::int64_t c,
             const Convert& convert) const {
    const std::int64_t cols = std::min(kPiece, x_.width - j), channels = std::min(kPiece, x_.channels - c);
    X values[kPiece][kPiece] = {}, turned[kPiece][kPiece];
    const X* const x = pixel_at<const X>(x_, image, i, j) + c;
    for (std::int64_t col = 0; col < cols; ++col) copy_piece(x + col * x_.stride, channels, values[col]);
    Turn<X>::block(values, turned);
    for (std::int64_t k = 0; k < channels; ++k) {
      Y* const y = reinterpret_cast<Y*>(port.data) + ((image * x_.channels + c + k) * x_.height + i) * x_.width + j;
      for_channels(cols, [&](std::int64_t first, auto lanes) {
        for (std::int64_t col = first; col < first + lanes; ++col) y[col] = convert(turned[k][col]);
      });
    }
  }

  const TensorRef& x_;
  std::size_t port_;
};

inline std::unique_ptr<Op> make_output(const NetworkOutput& params) { return std::make_unique<OutputOp>(params); }

}  // namespace tilewise::TILEWISE_SET
