// P X P^T of small matrices, P the same for all and X one number per lane, and its gradients.
#pragma once

#include <algorithm>

#include "kernels/this_set.h"

namespace tilewise::TILEWISE_SET {

[[gnu::always_inline]] inline F32 splat(float value) { return value - F32{}; }  // one load: see FloatDot

template <int Rows, int Cols>
struct Matrix {
  float at[Rows][Cols];

  explicit Matrix(const float* from) { std::copy_n(from, Rows * Cols, &at[0][0]); }
  Matrix<Cols, Rows> transposed() const {
    float turned[Cols][Rows];
    for (int i = 0; i < Rows; ++i)
      for (int j = 0; j < Cols; ++j) turned[j][i] = at[i][j];
    return Matrix<Cols, Rows>(&turned[0][0]);
  }
};

// sum + a * b, rounded once or (kFused false) twice.
template <bool kFused>
[[gnu::always_inline]] inline F32 plus_product(F32 sum, F32 a, F32 b) {
  if constexpr (kFused) {
    return fused(a, b, sum);
  } else {
    return sum + a * b;
  }
}

// put(i, sum over j of matrix[i][j] * get(j)), from left to right.
template <bool kFused = true, int Rows, int Cols, typename Get, typename Put>
[[gnu::always_inline]] inline void apply(const Matrix<Rows, Cols>& matrix, const Get& get, const Put& put) {
  F32 in[Cols];
#pragma GCC unroll 8
  for (int j = 0; j < Cols; ++j) in[j] = get(j);
#pragma GCC unroll 8
  for (int i = 0; i < Rows; ++i) {
    F32 sum = in[0] * splat(matrix.at[i][0]);
#pragma GCC unroll 8
    for (int j = 1; j < Cols; ++j) sum = plus_product<kFused>(sum, in[j], splat(matrix.at[i][j]));
    put(i, sum);
  }
}

// put(i, j, (P X P^T)[i][j]) with X[i][j] = get(i, j): P X first.
template <bool kFused = true, int Rows, int Cols, typename Get, typename Put>
[[gnu::always_inline]] inline void sandwich(const Matrix<Rows, Cols>& p, const Get& get, const Put& put) {
  F32 half[Rows][Cols];
  for (int j = 0; j < Cols; ++j) {
    apply<kFused>(
        p, [&](int i) __attribute__((always_inline)) { return get(i, j); },
        [&](int i, F32 v) __attribute__((always_inline)) { half[i][j] = v; });
  }
  for (int i = 0; i < Rows; ++i) {
    apply<kFused>(
        p, [&](int j) __attribute__((always_inline)) { return half[i][j]; },
        [&](int j, F32 v) __attribute__((always_inline)) { put(i, j, v); });
  }
}

// sums[i][j] += sum over k of e[i][k] * x[j][k]
template <int Rows, int Cols>
[[gnu::always_inline]] inline void add_products(F32 (&sums)[Rows][Cols], const F32 (&e)[Rows][Cols],
                                                const F32 (&x)[Cols][Cols]) {
  for (int i = 0; i < Rows; ++i) {
    F32 row[Cols];
#pragma GCC unroll 8
    for (int k = 0; k < Cols; ++k) row[k] = e[i][k];
#pragma GCC unroll 8
    for (int j = 0; j < Cols; ++j) {
      F32 sum = sums[i][j];
#pragma GCC unroll 8
      for (int k = 0; k < Cols; ++k) sum = fused(row[k], x[j][k], sum);
      sums[i][j] = sum;
    }
  }
}

// The gradients of Y = P X P^T from dY: with E = dY P and F = dY^T P
//   dX = P^T E,   dP += E X^T + F X.
// x(i, j) and dy(i, j) give X and dY; put(i, j, v) takes dX; dp, one number per lane, is added to unless
// kLearned is false.
template <bool kLearned, int Rows, int Cols, typename X, typename Dy, typename Put>
[[gnu::always_inline]] inline void sandwich_backward(const Matrix<Cols, Rows>& p_transposed, const X& x,
                                                     const Dy& dy, F32 (&dp)[Rows][Cols], const Put& put) {
  F32 d[Rows][Rows], e[Rows][Cols];
  for (int i = 0; i < Rows; ++i)
    for (int j = 0; j < Rows; ++j) d[i][j] = dy(i, j);
  for (int i = 0; i < Rows; ++i) {
    apply(
        p_transposed, [&](int j) __attribute__((always_inline)) { return d[i][j]; },
        [&](int j, F32 v) __attribute__((always_inline)) { e[i][j] = v; });
  }
  if constexpr (kLearned) {
    F32 here[Cols][Cols], turned[Cols][Cols], f[Rows][Cols];
    for (int i = 0; i < Cols; ++i)
      for (int j = 0; j < Cols; ++j) here[i][j] = turned[j][i] = x(i, j);
    for (int i = 0; i < Rows; ++i) {
      apply(
          p_transposed, [&](int j) __attribute__((always_inline)) { return d[j][i]; },
          [&](int j, F32 v) __attribute__((always_inline)) { f[i][j] = v; });
    }
    add_products(dp, e, here);
    add_products(dp, f, turned);
  }
  for (int j = 0; j < Cols; ++j) {
    apply(
        p_transposed, [&](int i) __attribute__((always_inline)) { return e[i][j]; },
        [&](int i, F32 v) __attribute__((always_inline)) { put(i, j, v); });
  }
}

// to[i][j] += the sum of the lanes of sums[i][j].
template <int Rows, int Cols>
inline void add_lanes(const F32 (&sums)[Rows][Cols], float* to) {
  for (int i = 0; i < Rows; ++i) {
    for (int j = 0; j < Cols; ++j) {
      float sum = 0;
      for (int lane = 0; lane < kLanes; ++lane) sum += sums[i][j][lane];
      to[i * Cols + j] += sum;
    }
  }
}

}  // namespace tilewise::TILEWISE_SET
