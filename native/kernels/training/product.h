// Float matrix products between strided rows and columns: what training multiplies with.
#pragma once

#include "kernels/dot.h"

namespace tilewise::TILEWISE_SET {

// c[r][v] (+)= sum over q < depth of a[r * a_row + q * a_step] * b[q * b_step + v], v being lanes side by
// side.
struct Product {
  const float* a;
  std::int64_t a_row, a_step;
  const float* b;
  std::int64_t b_step;
  float* c;
  std::int64_t c_row;
  std::int64_t depth;
  bool add = false;
};

template <int R, int NV>
void product_micro(const Product& p) {
  F32 sums[R][NV];
#pragma GCC unroll 16
  for (int r = 0; r < R; ++r) {
#pragma GCC unroll 4
    for (int v = 0; v < NV; ++v) sums[r][v] = p.add ? load<F32>(p.c + r * p.c_row + v * kLanes) : F32{};
  }
  const float *a = p.a, *b = p.b;
  for (std::int64_t q = 0; q < p.depth; ++q, a += p.a_step, b += p.b_step) {
    F32 columns[NV];
#pragma GCC unroll 4
    for (int v = 0; v < NV; ++v) columns[v] = load<F32>(b + v * kLanes);
#pragma GCC unroll 16
    for (int r = 0; r < R; ++r) {
      const F32 row = FloatDot::splat(a + r * p.a_row);
#pragma GCC unroll 4
      for (int v = 0; v < NV; ++v) sums[r][v] = fused(row, columns[v], sums[r][v]);
    }
  }
#pragma GCC unroll 16
  for (int r = 0; r < R; ++r) {
#pragma GCC unroll 4
    for (int v = 0; v < NV; ++v) store(p.c + r * p.c_row + v * kLanes, sums[r][v]);
  }
}

using ProductMicro = void (*)(const Product&);

template <std::size_t R, std::size_t... Width>
constexpr std::array<ProductMicro, sizeof...(Width)> product_micros_of(std::index_sequence<Width...>) {
  return {product_micro<int{R}, int{Width} + 1>...};
}
template <std::size_t... Row>
constexpr auto all_product_micros(std::index_sequence<Row...>) {
  return std::array{product_micros_of<Row + 1>(std::make_index_sequence<kPanelVectors>{})...};
}

// All of a product of `rows` rows and `vectors` vectors of columns; b is the same for all panels of columns
// but for where it begins.
inline void product(Product p, std::int64_t rows, std::int64_t vectors) {
  static constexpr auto kMicros = all_product_micros(std::make_index_sequence<kFloatRows>{});
  static constexpr auto kTall = product_micros_of<2 * kFloatRows>(std::make_index_sequence<kTallVectors>{});
  const Product start = p;
  for (std::int64_t v = 0; v < vectors; v += kPanelVectors) {
    const std::int64_t wide = std::min<std::int64_t>(kPanelVectors, vectors - v);
    const auto width = static_cast<std::size_t>(wide - 1);
    p.b = start.b + v * kLanes;
    for (std::int64_t r = 0, height = 0; r < rows; r += height) {
      height = rows_together<FloatDot>(rows - r, wide);
      p.a = start.a + r * start.a_row;
      p.c = start.c + r * start.c_row + v * kLanes;
      (height > kFloatRows ? kTall[width] : kMicros[static_cast<std::size_t>(height - 1)][width])(p);
    }
  }
}

}  // namespace tilewise::TILEWISE_SET
