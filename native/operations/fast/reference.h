// Fast convolution, value by value, stage by stage.
#pragma once

#include <algorithm>
#include <cstdint>
#include <memory>
#include <span>
#include <string_view>
#include <type_traits>
#include <vector>

#include "kernels/reference.h"
#include "kernels/winograd/tile.h"
#include "operations/fast/params.h"

namespace tilewise::reference {

template <typename Weight>
class Fast final : public ImageOp<FastConv> {
  static constexpr bool kQuantized = !std::is_same_v<Weight, float>;
  using Sum = std::conditional_t<kQuantized, std::int32_t, float>;

 public:
  Fast(const FastConv& conv, std::span<const Weight> u, bool bf16 = false)
      : ImageOp(conv), state_(kept(conv.shared, u)), u_(*state_), bf16_(bf16) {}

 private:
  void convolve(std::int64_t image) const override {
    const std::int64_t step = conv_.m * conv_.dilation;
    for (std::int64_t row = 0; row < y_.height; ++row) {
      for (std::int64_t col = 0; col < y_.width; ++col) {
        if (row % step < conv_.dilation && col % step < conv_.dilation) tile(image, row, col);
      }
    }
  }

  void tile(std::int64_t image, std::int64_t row, std::int64_t col) const {
    const std::int64_t taps = conv_.products();
    std::vector<Sum> v(static_cast<std::size_t>(taps * x_.channels));  // [tap][channel]
    for (std::int64_t c = 0; c < x_.channels; ++c) {
      // Integers are exact in double; learned transforms are float arithmetic, step by step.
      if (conv_.integer && kQuantized) input_transform<double>(image, row, col, c, v);
      if (!conv_.integer || !kQuantized) input_transform<float>(image, row, col, c, v);
    }
    for (std::int64_t k = 0; k < y_.lanes(); ++k) output_transform(image, row, col, k, v);
  }

  template <typename Real>
  void input_transform(std::int64_t image, std::int64_t row, std::int64_t col, std::int64_t c,
                       std::vector<Sum>& v) const {
    const auto bt = [&](std::int64_t a, std::int64_t i) { return conv_.bt[static_cast<std::size_t>(a * conv_.t() + i)]; };
    const auto pixel = [&](std::int64_t i, std::int64_t j) {
      return value(x_, image, row * conv_.stride + i * conv_.dilation - conv_.pad_top,
                   col * conv_.stride + j * conv_.dilation - conv_.pad_left, c);
    };
    const auto put = [&](std::int64_t tap, Real sum) {
      v[static_cast<std::size_t>(tap * x_.channels + c)] = static_cast<Sum>(requantize(sum, tap, c));
    };
    if (conv_.planar) return winograd::transform_tile_input<Real>(conv_.n, conv_.t(), conv_.bt, pixel, put);
    winograd::transform_input<Real>(conv_.n, conv_.t(), bt, pixel, put);
  }

  template <typename Real>
  Real requantize(Real v, std::int64_t tap, std::int64_t c) const {
    if (!kQuantized) return bf16_ ? static_cast<Real>(widened(Bf16Format().store(static_cast<float>(v)))) : v;
    const auto columns = static_cast<std::int64_t>(conv_.mult.size()) / conv_.products();
    const auto mult = conv_.mult[static_cast<std::size_t>(tap * columns + std::min(c, columns - 1))];
    return winograd::requantized(v, mult, conv_.fraction_bits, conv_.v_limit);
  }

  void output_transform(std::int64_t image, std::int64_t row, std::int64_t col, std::int64_t k,
                        const std::vector<Sum>& v) const {
    const auto scaled = [&](std::int64_t tap) { return k < y_.channels ? product(tap, k, v) : 0.0F; };
    const std::int64_t d = conv_.dilation;
    const std::int64_t rows = std::min(conv_.m, (y_.height - row + d - 1) / d),
                       cols = std::min(conv_.m, (y_.width - col + d - 1) / d);
    const auto put = [&](std::int64_t i, std::int64_t j, float sum) {
      finish(conv_.epilogue, y_, sum, image, row + i * d, col + j * d, k);
    };
    if (!conv_.planar) return winograd::transform_output(conv_.n, conv_.at, scaled, rows, cols, put);
    std::vector<float> products(static_cast<std::size_t>(conv_.n));
    for (std::int64_t tap = 0; tap < conv_.n; ++tap) products[static_cast<std::size_t>(tap)] = scaled(tap);
    const std::vector<float> sums = winograd::apply_ordered_tile(order_, conv_.at, products);
    for (std::int64_t i = 0; i < rows; ++i) {
      for (std::int64_t j = 0; j < cols; ++j) put(i, j, sums[static_cast<std::size_t>(i * conv_.m + j)]);
    }
  }

  float product(std::int64_t tap, std::int64_t k, const std::vector<Sum>& v) const {
    const std::int64_t channels = x_.channels / conv_.groups, first = k / (y_.channels / conv_.groups) * channels;
    Sum sum = 0;
    for (std::int64_t c = 0; c < channels; ++c) {
      sum += static_cast<Sum>(u_[static_cast<std::size_t>((tap * y_.channels + k) * channels + c)]) *
             v[static_cast<std::size_t>(tap * x_.channels + first + c)];
    }
    const auto scaled = static_cast<float>(sum);
    return kQuantized ? scaled * conv_.scale[static_cast<std::size_t>(tap * y_.channels + k)] : scaled;
  }

  std::shared_ptr<const std::vector<Weight>> state_;
  const std::vector<Weight>& u_;
  bool bf16_;
  std::string_view order_ = conv_.planar ? winograd::planar_output(conv_.at) : std::string_view();
};

inline std::unique_ptr<Op> make_fast_int8(const FastConv& conv) {
  return std::make_unique<Fast<std::int8_t>>(conv, conv.u_int8);
}
inline std::unique_ptr<Op> make_fast_int16(const FastConv& conv) {
  return std::make_unique<Fast<std::int16_t>>(conv, conv.u_int16);
}
inline std::unique_ptr<Op> make_fast_bf16(const FastConv& conv) {
  return std::make_unique<Fast<float>>(conv, widened(conv.u_bf16), true);
}
inline std::unique_ptr<Op> make_fast_f32(const FastConv& conv) {
  return std::make_unique<Fast<float>>(conv, conv.u_f32);
}

}  // namespace tilewise::reference
