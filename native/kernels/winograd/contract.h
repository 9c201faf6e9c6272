// What one quantized Winograd convolution is given, and what all its implementations must agree on.
//
// The algorithm is a bilinear one: y = A^T [ (G g) * (B^T d) ] with m outputs, r filter taps, stride s,
// t = s*(m - 1) + r inputs and n products, nested to two dimensions. "tap" is one of the n*n products,
// tap = a*n + b. The weights come transformed and quantized (U = G g G^T), so G itself is not seen here.
//
//   x      int16   [N, C, H, W]       image; the grids [-127, 127] and [0, 255] as well as up to 16 bits
//   u      int16   [n*n, K, C]        quantized transformed weights
//   bt     int32   [n, t]             B^T; sum |bt[a, :]| <= 2^23, which keeps the transform exact in int64
//   mult   int32   [n*n, 1 or C]      requantization multipliers 1..32767, in units of 2^-fraction_bits
//   at     float32 [m, n]             A^T
//   scale  float32 [n*n, 1 or K]      the real value of one step of U*V, per tap and output channel
//   bias   float32 [K], or none
//   stride  1..1024                   s, rows and columns from one output to the next
//   padding (ph, pw) >= 0             rows of zeros above and below, columns of zeros left and right
//   v_limit 1..32767                  the requantized V lies in [-v_limit, v_limit]
//   fraction_bits 15..31              15 unless the growth of B^T asks for more
//
// The output has Ho = floor((H + 2*ph - r) / s) + 1 rows and Wo = floor((W + 2*pw - r) / s) + 1 columns, at
// least one of each. It is cut into rows x cols tiles of m x m, rows = ceil(Ho/m), cols = ceil(Wo/m). Tile
// p = (image*rows + i)*cols + j reads t rows from s*i*m and t columns from s*j*m on of the padded image, which
// goes on as zeros outside itself.
#pragma once

#include <cstdint>
#include <optional>

#include "base/tensor.h"

namespace tilewise::winograd {

struct Problem {
  TensorView<const std::int16_t, 4> x;
  TensorView<const std::int16_t, 3> u;
  TensorView<const std::int32_t, 2> bt;
  TensorView<const std::int32_t, 2> mult;
  TensorView<const float, 2> at;
  TensorView<const float, 2> scale;
  std::optional<TensorView<const float, 1>> bias;
  std::int64_t stride = 1;
  Shape<2> padding{};
  std::int64_t v_limit = 127;
  int fraction_bits = 15;
};

// The sizes that follow from a problem.
struct Geometry {
  std::int64_t m, n, r, t;                 // outputs, products, filter taps, inputs per dimension
  std::int64_t stride;                     // s
  std::int64_t images, channels, filters;  // N, C, K
  std::int64_t height, width;              // H, W
  std::int64_t out_height, out_width;      // Ho, Wo
  std::int64_t rows, cols;                 // tiles per image
  std::int64_t pad_top, pad_left;          // ph, pw

  std::int64_t taps() const { return n * n; }
  std::int64_t tiles() const { return images * rows * cols; }
};

// Checks the problem against the contract. Throws std::invalid_argument naming the value and what is allowed.
Geometry check(const Problem& problem);

}  // namespace tilewise::winograd
