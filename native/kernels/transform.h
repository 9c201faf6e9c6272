// Transforms by the matrices of a bilinear algorithm, on vectors; tiles.h puts them together.
//
// Named algorithms are straight-line programs (algorithms.h); learned ones of known sizes are unrolled with
// their matrices as data; any other one is kept as a list of its non-zero entries per row. The last two add
// from left to right, each product and sum rounded on its own.
#pragma once

#include <algorithm>
#include <cstdint>
#include <type_traits>
#include <vector>

#include "kernels/this_set.h"
#include "kernels/tiles.h"
#include "operations/fast/params.h"

namespace tilewise::TILEWISE_SET {

constexpr bool is_power_of_two(int factor) {
  const int size = factor < 0 ? -factor : factor;
  return (size & (size - 1)) == 0;
}

template <int Factor, typename Vector>
[[gnu::always_inline]] inline Vector scaled(Vector v) {
  using Scalar = std::remove_cvref_t<decltype(v[0])>;
  return v * static_cast<Scalar>(Factor);
}

// sum + Factor * v. A product with a power of two is exact, so that fusing it with the sum changes nothing.
template <int Factor, typename Vector>
[[gnu::always_inline]] inline Vector plus(Vector sum, Vector v) {
  if constexpr (std::is_same_v<Vector, F32> && is_power_of_two(Factor)) {
    return fused(v, F32{} + static_cast<float>(Factor), sum);
  } else if constexpr (Factor < 0) {
    return sum - scaled<-Factor>(v);
  } else {
    return sum + scaled<Factor>(v);
  }
}

}  // namespace tilewise::TILEWISE_SET

// The named algorithms, made of scaled() and plus().
#include "kernels/algorithms.h"

namespace tilewise::TILEWISE_SET {

// An algorithm of known sizes with any matrices, as learned ones are.
template <int M, int N, int T>
class Dense {
 public:
  static constexpr int m = M, n = N, t = T;

  explicit Dense(const FastConv& conv) {
    std::copy_n(conv.bt.begin(), N * T, &bt_[0][0]);
    std::copy_n(conv.at.begin(), M * N, &at_[0][0]);
  }
  static bool serves(const FastConv& conv) { return !conv.planar && conv.m == M && conv.n == N && conv.t() == T; }

  template <typename Vector, typename Get, typename Put>
  [[gnu::always_inline]] void input(const Get& get, const Put& put) const {
    apply<Vector, N, T>(bt_, get, put);
  }
  template <typename Vector, typename Get, typename Put>
  [[gnu::always_inline]] void output(const Get& get, const Put& put) const {
    apply<Vector, M, N>(at_, get, put);
  }

 private:
  template <typename Vector, int Rows, int Cols, typename Get, typename Put>
  [[gnu::always_inline]] static void apply(const float (&matrix)[Rows][Cols], const Get& get,
                                           const Put& put) {
#pragma GCC unroll 8
    for (int row = 0; row < Rows; ++row) {
      Vector sum = get(0) * matrix[row][0];
#pragma GCC unroll 8
      for (int col = 1; col < Cols; ++col) sum = sum + get(col) * matrix[row][col];
      put(row, sum);
    }
  }
  float bt_[N][T], at_[M][N];
};

// A matrix as a list of the entries that are not 0, row by row.
class ListedRows {
 public:
  ListedRows(const std::vector<float>& matrix, int rows, int cols) {
    for (int row = 0; row < rows; ++row) {
      for (int col = 0; col < cols; ++col) {
        const float factor = matrix[static_cast<std::size_t>(row * cols + col)];
        if (factor != 0) terms_.push_back({col, factor});
      }
      ends_.push_back(terms_.size());
    }
  }
  template <typename Vector, typename Get, typename Put>
  [[gnu::always_inline]] void apply(const Get& get, const Put& put) const {
    using Scalar = std::remove_cvref_t<decltype(Vector{}[0])>;
    std::size_t term = 0;
    for (std::size_t row = 0; row < ends_.size(); ++row) {
      Vector sum{};
      for (; term < ends_[row]; ++term) sum = sum + get(terms_[term].column) * as<Scalar>(terms_[term].factor);
      put(static_cast<int>(row), sum);
    }
  }

 private:
  struct Term {
    int column;
    float factor;
  };
  // By way of int, as a float that is negative has no unsigned number.
  template <typename Scalar>
  static Scalar as(float factor) {
    if constexpr (std::is_integral_v<Scalar>) return static_cast<Scalar>(static_cast<std::int32_t>(factor));
    return static_cast<Scalar>(factor);
  }

  std::vector<Term> terms_;
  std::vector<std::size_t> ends_;  // of each row
};

// Any algorithm of rows and columns.
struct Listed {
  static constexpr int kMax = kMaxTransform;
  int m, n, t;

  explicit Listed(const FastConv& conv)
      : m(static_cast<int>(conv.m)),
        n(static_cast<int>(conv.n)),
        t(static_cast<int>(conv.t())),
        input_(conv.bt, n, t),
        output_(conv.at, m, n) {}

  template <typename Vector, typename Get, typename Put>
  void input(const Get& get, const Put& put) const {
    input_.apply<Vector>(get, put);
  }
  template <typename Vector, typename Get, typename Put>
  void output(const Get& get, const Put& put) const {
    output_.apply<Vector>(get, put);
  }

 private:
  ListedRows input_, output_;
};

// Any planar algorithm.
struct ListedTiles {
  static constexpr bool kWholeTiles = true;
  static constexpr int kMax = kMaxTransform;
  int m;

  explicit ListedTiles(const FastConv& conv)
      : m(static_cast<int>(conv.m)),
        input_(conv.bt, static_cast<int>(conv.n), static_cast<int>(conv.t() * conv.t())),
        output_(conv.at, static_cast<int>(conv.m * conv.m), static_cast<int>(conv.n)) {}

  template <typename Vector, typename Get, typename Put>
  void input(const Get& get, const Put& put) const {
    input_.apply<Vector>(get, put);
  }
  template <typename Vector, typename Get, typename Put>
  void output(const Get& get, const Put& put) const {
    output_.apply<Vector>(get, put);
  }

 private:
  ListedRows input_, output_;
};

// Named algorithms hold nothing.
template <class Algorithm>
Algorithm algorithm_of(const FastConv& conv) {
  if constexpr (std::is_constructible_v<Algorithm, const FastConv&>) {
    return Algorithm(conv);
  } else {
    return Algorithm();
  }
}

}  // namespace tilewise::TILEWISE_SET
