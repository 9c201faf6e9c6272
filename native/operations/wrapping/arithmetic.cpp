#include "operations/wrapping/arithmetic.h"

#include <algorithm>
#include <cstddef>

namespace tilewise::wrapping {
namespace {

std::int64_t at_place(Matrix matrix, std::int64_t columns, std::int64_t row, std::int64_t column) {
  return matrix[static_cast<std::size_t>(row * columns + column)];
}

}  // namespace

std::optional<std::int64_t> denominator(const Sizes& sizes, Matrix at, Matrix g, Matrix bt) {
  std::int64_t found = 0;
  for (std::int64_t i = 0; i < sizes.m; ++i) {
    for (std::int64_t k = 0; k < sizes.r; ++k) {
      for (std::int64_t j = 0; j < sizes.t(); ++j) {
        std::int64_t sum = 0;
        for (std::int64_t p = 0; p < sizes.n; ++p) {
          sum += at_place(at, sizes.n, i, p) * at_place(g, sizes.r, p, k) * at_place(bt, sizes.t(), p, j);
        }
        if (found == 0 && i + k + j == 0) found = sum;
        if (sum != (j == i + k ? found : 0)) return std::nullopt;
      }
    }
  }
  return found > 0 ? std::optional(found) : std::nullopt;
}

Division division(std::int64_t denominator) {
  Division result{.inverse = 1, .shift = 0};
  for (; denominator % 2 == 0; denominator /= 2) result.shift += 2;
  const auto odd = static_cast<std::uint32_t>(denominator) * static_cast<std::uint32_t>(denominator);
  // Newton: each step doubles the number of right bits; an odd number is its own inverse modulo 8.
  result.inverse = odd;
  for (int bits = 3; bits < 32; bits *= 2) result.inverse *= 2 - odd * result.inverse;
  return result;
}

std::int64_t largest_v(const Sizes& sizes, Matrix bt, std::int64_t low, std::int64_t high) {
  std::int64_t largest = 0;
  const std::int64_t t = sizes.t();
  for (std::int64_t tap = 0; tap < sizes.n * sizes.n; ++tap) {
    std::int64_t up = 0, down = 0;
    for (std::int64_t i = 0; i < t * t; ++i) {
      const std::int64_t factor =
          at_place(bt, t, tap / sizes.n, i / t) * at_place(bt, t, tap % sizes.n, i % t);
      up += factor * (factor > 0 ? high : low);
      down += factor * (factor > 0 ? low : high);
    }
    largest = std::max({largest, up, -down});
  }
  return largest;
}

std::vector<std::int64_t> transform_weights(const Sizes& sizes, Matrix g, std::span<const std::int8_t> weight,
                                            std::int64_t channels) {
  const std::int64_t window = sizes.r * sizes.r, row = window * channels;
  const auto filters = static_cast<std::int64_t>(weight.size()) / row;
  std::vector<std::int64_t> u(static_cast<std::size_t>(sizes.n * sizes.n * filters * channels));
  for (std::int64_t tap = 0; tap < sizes.n * sizes.n; ++tap) {
    for (std::int64_t place = 0; place < window; ++place) {
      const std::int64_t factor = at_place(g, sizes.r, tap / sizes.n, place / sizes.r) *
                                  at_place(g, sizes.r, tap % sizes.n, place % sizes.r);
      if (factor == 0) continue;
      for (std::int64_t k = 0; k < filters; ++k) {
        const std::int8_t* const from = weight.data() + k * row + place * channels;
        std::int64_t* const to = u.data() + (tap * filters + k) * channels;
        for (std::int64_t c = 0; c < channels; ++c) to[c] += factor * from[c];
      }
    }
  }
  return u;
}

}  // namespace tilewise::wrapping
