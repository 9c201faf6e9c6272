// One-dimensional transforms by the matrices of a bilinear algorithm, on vectors.
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
  static bool serves(const FastConv& conv) { return conv.m == M && conv.n == N && conv.t() == T; }

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

// Any algorithm.
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
  struct Term {
    int column;
    float factor;
  };
  struct Rows {
    std::vector<Term> terms;
    std::vector<std::size_t> ends;  // of each row

    Rows(const std::vector<float>& matrix, int rows, int cols) {
      for (int row = 0; row < rows; ++row) {
        for (int col = 0; col < cols; ++col) {
          const float factor = matrix[static_cast<std::size_t>(row * cols + col)];
          if (factor != 0) terms.push_back({col, factor});
        }
        ends.push_back(terms.size());
      }
    }
    template <typename Vector, typename Get, typename Put>
    [[gnu::always_inline]] void apply(const Get& get, const Put& put) const {
      using Scalar = std::remove_cvref_t<decltype(Vector{}[0])>;
      std::size_t term = 0;
      for (std::size_t row = 0; row < ends.size(); ++row) {
        Vector sum{};
        for (; term < ends[row]; ++term) sum = sum + get(terms[term].column) * as<Scalar>(terms[term].factor);
        put(static_cast<int>(row), sum);
      }
    }
  };
  // By way of int, as a float that is negative has no unsigned number.
  template <typename Scalar>
  static Scalar as(float factor) {
    if constexpr (std::is_integral_v<Scalar>) return static_cast<Scalar>(static_cast<std::int32_t>(factor));
    return static_cast<Scalar>(factor);
  }
  Rows input_, output_;
};

// The largest size of an algorithm, for arrays.
template <class Algorithm>
inline constexpr int kMaxOf = [] {
  if constexpr (requires { Algorithm::kMax; }) {
    return Algorithm::kMax;
  } else {
    return Algorithm::n > Algorithm::t ? Algorithm::n : Algorithm::t;
  }
}();

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
