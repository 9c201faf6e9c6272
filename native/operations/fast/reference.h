// Fast convolution, value by value, stage by stage.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <memory>
#include <span>
#include <type_traits>
#include <vector>

#include "kernels/reference.h"
#include "kernels/winograd/output_order.h"
#include "operations/fast/params.h"

namespace tilewise::reference {

// A small dense matrix of doubles or floats, row by row.
template <typename T>
struct Grid2 {
  std::int64_t cols;
  std::vector<T> values;
  Grid2(std::int64_t rows, std::int64_t c) : cols(c), values(static_cast<std::size_t>(rows * c)) {}
  T& operator()(std::int64_t i, std::int64_t j) { return values[static_cast<std::size_t>(i * cols + j)]; }
};

template <typename Weight>
class Fast final : public ImageOp<FastConv> {
  static constexpr bool kQuantized = !std::is_same_v<Weight, float>;
  using Sum = std::conditional_t<kQuantized, std::int32_t, float>;

 public:
  Fast(const FastConv& conv, std::span<const Weight> u, bool bf16 = false)
      : ImageOp(conv), state_(kept(conv.shared, u)), u_(*state_), bf16_(bf16) {}

 private:
  void convolve(std::int64_t image) const override {
    for (std::int64_t row = 0; row < y_.height; row += conv_.m) {
      for (std::int64_t col = 0; col < y_.width; col += conv_.m) tile(image, row, col);
    }
  }

  void tile(std::int64_t image, std::int64_t row, std::int64_t col) const {
    const std::int64_t taps = conv_.n * conv_.n;
    std::vector<Sum> v(static_cast<std::size_t>(taps * x_.channels));  // [tap][channel]
    for (std::int64_t c = 0; c < x_.channels; ++c) {
      // Integers are exact in double; learned transforms are float arithmetic, step by step.
      if (conv_.integer && kQuantized) input_transform<double>(image, row, col, c, v);
      if (!conv_.integer || !kQuantized) input_transform<float>(image, row, col, c, v);
    }
    for (std::int64_t k = 0; k < y_.stride; ++k) output_transform(image, row, col, k, v);
  }

  template <typename Real>
  void input_transform(std::int64_t image, std::int64_t row, std::int64_t col, std::int64_t c,
                       std::vector<Sum>& v) const {
    const std::int64_t n = conv_.n, t = conv_.t();
    const auto bt = [&](std::int64_t a, std::int64_t i) {
      return static_cast<Real>(conv_.bt[static_cast<std::size_t>(a * t + i)]);
    };
    Grid2<Real> half(n, t);
    for (std::int64_t a = 0; a < n; ++a) {
      for (std::int64_t j = 0; j < t; ++j) {
        for (std::int64_t i = 0; i < t; ++i) {
          half(a, j) += bt(a, i) * static_cast<Real>(value(x_, image, row * conv_.stride + i - conv_.pad_top,
                                                           col * conv_.stride + j - conv_.pad_left, c));
        }
      }
    }
    for (std::int64_t a = 0; a < n; ++a) {
      for (std::int64_t b = 0; b < n; ++b) {
        Real sum = 0;
        for (std::int64_t j = 0; j < t; ++j) sum += half(a, j) * bt(b, j);
        v[static_cast<std::size_t>((a * n + b) * x_.channels + c)] =
            static_cast<Sum>(requantize(sum, a * n + b, c));
      }
    }
  }

  template <typename Real>
  Real requantize(Real v, std::int64_t tap, std::int64_t c) const {
    if (!kQuantized) return bf16_ ? static_cast<Real>(widened(Bf16Format().store(static_cast<float>(v)))) : v;
    const auto columns = static_cast<std::int64_t>(conv_.mult.size()) / (conv_.n * conv_.n);
    const auto mult =
        static_cast<Real>(conv_.mult[static_cast<std::size_t>(tap * columns + std::min(c, columns - 1))]);
    const auto limit = static_cast<Real>(conv_.v_limit);
    return std::clamp(std::floor(v * std::ldexp(mult, -conv_.fraction_bits) + static_cast<Real>(0.5)), -limit,
                      limit);
  }

  void output_transform(std::int64_t image, std::int64_t row, std::int64_t col, std::int64_t k,
                        const std::vector<Sum>& v) const {
    const std::int64_t m = conv_.m, n = conv_.n;
    Grid2<float> half(m, n);
    for (std::int64_t b = 0; b < n; ++b) {
      std::vector<float> column(static_cast<std::size_t>(n), 0.0F);
      for (std::int64_t a = 0; k < y_.channels && a < n; ++a)
        column[static_cast<std::size_t>(a)] = product(a * n + b, k, v);
      const std::vector<float> sums = winograd::apply_in_order(conv_.at, column);
      for (std::int64_t i = 0; i < m; ++i) half(i, b) = sums[static_cast<std::size_t>(i)];
    }
    for (std::int64_t i = 0; i < std::min(m, y_.height - row); ++i) {
      const std::span<const float> row_sums(&half(i, 0), static_cast<std::size_t>(n));
      const std::vector<float> sums = winograd::apply_in_order(conv_.at, row_sums);
      for (std::int64_t j = 0; j < std::min(m, y_.width - col); ++j)
        finish(conv_.epilogue, y_, sums[static_cast<std::size_t>(j)], image, row + i, col + j, k);
    }
  }

  float product(std::int64_t tap, std::int64_t k, const std::vector<Sum>& v) const {
    Sum sum = 0;
    for (std::int64_t c = 0; c < x_.channels; ++c) {
      sum += static_cast<Sum>(u_[static_cast<std::size_t>((tap * y_.channels + k) * x_.channels + c)]) *
             v[static_cast<std::size_t>(tap * x_.channels + c)];
    }
    const auto scaled = static_cast<float>(sum);
    return kQuantized ? scaled * conv_.scale[static_cast<std::size_t>(tap * y_.channels + k)] : scaled;
  }

  std::shared_ptr<const std::vector<Weight>> state_;
  const std::vector<Weight>& u_;
  bool bf16_;
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
