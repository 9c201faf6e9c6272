// The quantized Winograd convolution as plainly as it can be said. This is the specification: every other
// implementation, in any language, gives these integers and these floats bit for bit.
// Sizes, layouts and ranges are in contract.h. The stages take what check() has accepted.
#pragma once

#include <cstdint>
#include <optional>

#include "base/tensor.h"
#include "kernels/winograd/contract.h"

namespace tilewise::winograd {

// For tile p of channel c, with d its t x t piece of the padded image:
//
//   V[a*n + b, c, p] = sum over i, j of  bt[a, i] * bt[b, j] * d[i, j]            exact
//
// Throws std::overflow_error if a V does not fit int32.
Tensor<std::int32_t, 3> input_transform(const Geometry& g, TensorView<const std::int16_t, 4> x,
                                        TensorView<const std::int32_t, 2> bt);

// The one rounding rule, round half up, in integers (>> is an arithmetic shift: it rounds down):
//
//   Vq[tap, c, p] = clamp((V[tap, c, p] * mult[tap, c] + 2^(f-1)) >> f, -v_limit, v_limit),  f =
//   fraction_bits
//
// mult[tap, c] is mult[tap, 0] where mult has one column.
Tensor<std::int16_t, 3> requantize(TensorView<const std::int32_t, 3> v,
                                   TensorView<const std::int32_t, 2> mult, std::int64_t v_limit,
                                   int fraction_bits);

//   M[tap, k, p] = sum over c of  u[tap, k, c] * Vq[tap, c, p]                    exact
//
// Throws std::overflow_error if an M does not fit int32.
Tensor<std::int32_t, 3> multiply(TensorView<const std::int16_t, 3> u, TensorView<const std::int16_t, 3> vq);

// For tile p of output channel k, all in float32, each product and each sum rounded on its own:
//
//   Z[a, b] = float(M[a*n + b, k, p]) * scale[a*n + b, k]
//   T[i, b] = 0 + at[i, 0]*Z[0, b] + at[i, 1]*Z[1, b] + ...                       from left to right
//   Y[i, j] = 0 + T[i, 0]*at[j, 0] + T[i, 1]*at[j, 1] + ...                       from left to right
//   y[image, k, row*m + i, col*m + j] = Y[i, j] + bias[k]                         where inside Ho x Wo
//
// scale[tap, k] is scale[tap, 0] where scale has one column. Without a bias nothing is added.
Tensor<float, 4> output_transform(const Geometry& g, TensorView<const std::int32_t, 3> m,
                                  TensorView<const float, 2> at, TensorView<const float, 2> scale,
                                  std::optional<TensorView<const float, 1>> bias);

// What each stage gave.
struct Stages {
  Tensor<std::int32_t, 3> v;   // [n*n, C, P]
  Tensor<std::int16_t, 3> vq;  // [n*n, C, P]
  Tensor<std::int32_t, 3> m;   // [n*n, K, P]
  Tensor<float, 4> y;          // [N, K, Ho, Wo]
};

// check, input_transform, requantize, multiply, output_transform; throws what they throw.
Stages convolve(const Problem& problem);

}  // namespace tilewise::winograd
