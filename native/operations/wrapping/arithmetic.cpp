#include "operations/wrapping/arithmetic.h"

#include <algorithm>
#include <cstddef>

namespace tilewise::wrapping {
namespace {

std::int64_t at_place(Matrix matrix, std::int64_t columns, std::int64_t row, std::int64_t column) {
  return matrix[static_cast<std::size_t>(row * columns + column)];
}

// The places of a tile, or of one of its sides.
struct Shape {
  std::int64_t rows, cols;
  std::int64_t size() const { return rows * cols; }
  std::int64_t row(std::int64_t place) const { return place / cols; }
  std::int64_t col(std::int64_t place) const { return place % cols; }
  std::int64_t place(std::int64_t row, std::int64_t col) const { return row * cols + col; }
};
Shape shape(const Sizes& sizes, std::int64_t side) { return {sizes.planar ? side : 1, side}; }

// The factor of a place of the tile in a tap.
std::int64_t factor_of(const Sizes& sizes, Matrix matrix, std::int64_t side, std::int64_t tap, std::int64_t place) {
  if (sizes.planar) return at_place(matrix, side * side, tap, place);
  return at_place(matrix, side, tap / sizes.n, place / side) * at_place(matrix, side, tap % sizes.n, place % side);
}

}  // namespace

std::optional<std::int64_t> denominator(const Sizes& sizes, Matrix at, Matrix g, Matrix bt) {
  const Shape outputs = shape(sizes, sizes.m), filter_taps = shape(sizes, sizes.r), inputs = shape(sizes, sizes.t());
  std::int64_t found = 0;
  std::vector<std::int64_t> sums(static_cast<std::size_t>(filter_taps.size() * inputs.size()));  // [filter tap][input]
  for (std::int64_t i = 0; i < outputs.size(); ++i) {
    std::ranges::fill(sums, 0);
    for (std::int64_t p = 0; p < sizes.n; ++p) {
      for (std::int64_t k = 0; k < filter_taps.size(); ++k) {
        const std::int64_t factor = at_place(at, sizes.n, i, p) * at_place(g, filter_taps.size(), p, k);
        for (std::int64_t j = 0; factor != 0 && j < inputs.size(); ++j)
          sums[static_cast<std::size_t>(k * inputs.size() + j)] += factor * at_place(bt, inputs.size(), p, j);
      }
    }
    if (i == 0) found = sums[0];
    for (std::int64_t k = 0; k < filter_taps.size(); ++k) {
      const std::int64_t met = inputs.place(outputs.row(i) + filter_taps.row(k), outputs.col(i) + filter_taps.col(k));
      for (std::int64_t j = 0; j < inputs.size(); ++j) {
        if (sums[static_cast<std::size_t>(k * inputs.size() + j)] != (j == met ? found : 0)) return std::nullopt;
      }
    }
  }
  return found > 0 ? std::optional(found) : std::nullopt;
}

Division division(const Sizes& sizes, std::int64_t denominator) {
  const int power = sizes.planar ? 1 : 2;
  Division result{.inverse = 1, .shift = 0};
  for (; denominator % 2 == 0; denominator /= 2) result.shift += power;
  const auto one = static_cast<std::uint32_t>(denominator), odd = sizes.planar ? one : one * one;
  // Newton: each step doubles the number of right bits; an odd number is its own inverse modulo 8.
  result.inverse = odd;
  for (int bits = 3; bits < 32; bits *= 2) result.inverse *= 2 - odd * result.inverse;
  return result;
}

std::int64_t largest_v(const Sizes& sizes, Matrix bt, std::int64_t low, std::int64_t high) {
  std::int64_t largest = 0;
  const std::int64_t t = sizes.t();
  for (std::int64_t tap = 0; tap < sizes.taps(); ++tap) {
    std::int64_t up = 0, down = 0;
    for (std::int64_t i = 0; i < t * t; ++i) {
      const std::int64_t factor = factor_of(sizes, bt, t, tap, i);
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
  std::vector<std::int64_t> u(static_cast<std::size_t>(sizes.taps() * filters * channels));
  for (std::int64_t tap = 0; tap < sizes.taps(); ++tap) {
    for (std::int64_t place = 0; place < window; ++place) {
      const std::int64_t factor = factor_of(sizes, g, sizes.r, tap, place);
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
