// The steps of a fast convolution on one tile, as plainly as they can be said: what every reference is made of.
// Real is an integer or double, in which integers are exact, or float, in which every product and sum is rounded by
// itself, from left to right.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <span>
#include <type_traits>
#include <vector>

#include "kernels/winograd/output_order.h"

namespace tilewise::winograd {

// V = B^T d B: bt(a, i) and d(i, j) give the entries, put(tap, v) takes V.
template <typename Real, typename Matrix, typename Pixels, typename Put>
void transform_input(std::int64_t n, std::int64_t t, const Matrix& bt, const Pixels& d, const Put& put) {
  std::vector<Real> half(static_cast<std::size_t>(n * t));  // B^T d
  for (std::int64_t a = 0; a < n; ++a) {
    for (std::int64_t j = 0; j < t; ++j) {
      Real sum = 0;
      for (std::int64_t i = 0; i < t; ++i) sum += static_cast<Real>(bt(a, i)) * static_cast<Real>(d(i, j));
      half[static_cast<std::size_t>(a * t + j)] = sum;
    }
  }
  for (std::int64_t a = 0; a < n; ++a) {
    for (std::int64_t b = 0; b < n; ++b) {
      Real sum = 0;
      for (std::int64_t j = 0; j < t; ++j)
        sum += half[static_cast<std::size_t>(a * t + j)] * static_cast<Real>(bt(b, j));
      put(a * n + b, sum);
    }
  }
}

// The same where B^T stands for whole tiles.
template <typename Real, typename Pixels, typename Put>
void transform_tile_input(std::int64_t n, std::int64_t t, std::span<const float> bt, const Pixels& d, const Put& put) {
  for (std::int64_t tap = 0; tap < n; ++tap) {
    Real sum = 0;
    for (std::int64_t place = 0; place < t * t; ++place) {
      const float factor = bt[static_cast<std::size_t>(tap * t * t + place)];
      if (factor != 0) sum += static_cast<Real>(factor) * static_cast<Real>(d(place / t, place % t));
    }
    put(tap, sum);
  }
}

// The one rounding rule, round half up: clamp((v * mult + 2^(f-1)) >> f, -limit, limit), f = fraction_bits.
template <typename Real>
Real requantized(Real v, std::int64_t mult, int fraction_bits, std::int64_t limit) {
  const auto most = static_cast<Real>(limit);
  if constexpr (std::is_integral_v<Real>) {
    return std::clamp<Real>((v * mult + (Real{1} << (fraction_bits - 1))) >> fraction_bits, -most, most);
  } else {
    const Real steps = v * std::ldexp(static_cast<Real>(mult), -fraction_bits);
    return std::clamp(std::floor(steps + static_cast<Real>(0.5)), -most, most);
  }
}

// Y = A^T Z A of rows x cols outputs: z(tap) gives Z, put(i, j, y) takes Y.
template <typename Products, typename Put>
void transform_output(std::int64_t n, std::span<const float> at, const Products& z, std::int64_t rows,
                      std::int64_t cols, const Put& put) {
  const auto size = static_cast<std::size_t>(n), outputs = at.size() / size;
  std::vector<float> column(size), half(outputs * size);  // A^T Z
  for (std::size_t b = 0; b < size; ++b) {
    for (std::size_t a = 0; a < size; ++a) column[a] = z(static_cast<std::int64_t>(a * size + b));
    const std::vector<float> sums = apply_ordered(at, column);
    for (std::size_t i = 0; i < outputs; ++i) half[i * size + b] = sums[i];
  }
  for (std::int64_t i = 0; i < rows; ++i) {
    const std::vector<float> sums =
        apply_ordered(at, std::span<const float>(half).subspan(static_cast<std::size_t>(i) * size, size));
    for (std::int64_t j = 0; j < cols; ++j) put(i, j, sums[static_cast<std::size_t>(j)]);
  }
}

}  // namespace tilewise::winograd
