// One-dimensional transforms by the matrices of a bilinear algorithm, on vectors. Needs simd.h and the set.
//
// Matrices known at compile time (algorithms.h) unroll to additions and a few multiplications; those of known
// sizes, as learned ones are, to multiplications and additions; any other one is kept as a list of its non-zero
// entries per row. All add from left to right, each product and sum rounded on its own.
#pragma once

#include <type_traits>
#include <utility>
#include <vector>

namespace tilewise::TILEWISE_SET {

template <int Rows, int Cols>
struct Matrix {
  std::int16_t entry[Rows][Cols];
};

// put(row, sum over i of A[row][i] * get(i)) for every row of A; only non-zero entries are touched.
template <auto A, int Rows, int Cols, int Row = 0, int Col = 0, bool Started = false, typename Vector,
          typename Get, typename Put>
[[gnu::always_inline]] inline void unrolled(Vector sum, const Get& get, const Put& put) {
  if constexpr (Row == Rows) {
    return;
  } else if constexpr (Col == Cols) {
    put(Row, sum);
    unrolled<A, Rows, Cols, Row + 1, 0, false>(Vector{}, get, put);
  } else {
    constexpr auto factor = A.entry[Row][Col];
    if constexpr (factor == 0) {
      unrolled<A, Rows, Cols, Row, Col + 1, Started>(sum, get, put);
    } else {
      if constexpr (factor == 1) {
        sum = Started ? sum + get(Col) : get(Col);
      } else if constexpr (factor == -1) {
        sum = Started ? sum - get(Col) : -get(Col);
      } else {
        const Vector term = get(Col) * factor;
        sum = Started ? sum + term : term;
      }
      unrolled<A, Rows, Cols, Row, Col + 1, true>(sum, get, put);
    }
  }
}

// A named algorithm: integer matrices known at compile time.
template <int M, int N, int T, Matrix<N, T> BT, Matrix<M, N> AT>
struct Fixed {
  static constexpr int kMax = N > T ? N : T;
  static constexpr int m = M, n = N, t = T;

  explicit Fixed(const FastConv&) {}

  static bool serves(const FastConv& conv) {
    bool same = conv.m == M && conv.n == N && conv.m + conv.r - 1 == T;
    for (int i = 0; same && i < N * T; ++i) {
      same = conv.bt[static_cast<std::size_t>(i)] == static_cast<float>(BT.entry[i / T][i % T]);
    }
    for (int i = 0; same && i < M * N; ++i) {
      same = conv.at[static_cast<std::size_t>(i)] == static_cast<float>(AT.entry[i / N][i % N]);
    }
    return same;
  }
  template <typename Vector, typename Get, typename Put>
  [[gnu::always_inline]] void input(const Get& get, const Put& put) const {
    unrolled<BT, N, T>(Vector{}, get, put);
  }
  template <typename Vector, typename Get, typename Put>
  [[gnu::always_inline]] void output(const Get& get, const Put& put) const {
    unrolled<AT, M, N>(Vector{}, get, put);
  }
};

// An algorithm of known sizes with any matrices, as learned ones are.
template <int M, int N, int T>
class Dense {
 public:
  static constexpr int kMax = N > T ? N : T;
  static constexpr int m = M, n = N, t = T;

  explicit Dense(const FastConv& conv) {
    std::copy_n(conv.bt.begin(), N * T, &bt_[0][0]);
    std::copy_n(conv.at.begin(), M * N, &at_[0][0]);
  }
  static bool serves(const FastConv& conv) { return conv.m == M && conv.n == N && conv.m + conv.r - 1 == T; }

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
        t(static_cast<int>(conv.m + conv.r - 1)),
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
        for (; term < ends[row]; ++term)
          sum = sum + get(terms[term].column) * static_cast<Scalar>(terms[term].factor);
        put(static_cast<int>(row), sum);
      }
    }
  };
  Rows input_, output_;
};

}  // namespace tilewise::TILEWISE_SET
