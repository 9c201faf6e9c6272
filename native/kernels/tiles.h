// The transforms of one tile by an algorithm, on vectors or single numbers; TILEWISE_SET is the namespace.
//
// Most algorithms are those of rows and columns, one after the other. Planar ones mix numbers beside that: what comes
// of the inputs before the products, and the products before they go back (tilewise/algebra/planar.py, Factors). Others
// stand for whole tiles.
#pragma once

#include <algorithm>

namespace tilewise::TILEWISE_SET {

template <class Algorithm>
inline constexpr bool kMixes = requires { Algorithm::kMade; };
template <class Algorithm>
inline constexpr bool kWhole = requires { Algorithm::kWholeTiles; };

// The largest size of an algorithm, for arrays.
template <class Algorithm>
inline constexpr int kMaxOf = [] {
  if constexpr (requires { Algorithm::kMax; }) {
    return Algorithm::kMax;
  } else {
    return std::max({Algorithm::n, Algorithm::t, Algorithm::m});
  }
}();

// Rows and columns of B^T: read(i * t + j) gives an input, write(a * n + b, v) takes V.
template <typename Vector, class Algorithm, typename Read, typename Write>
[[gnu::always_inline]] inline void input_sides(const Algorithm& algorithm, const Read& read, const Write& write) {
  const int n = algorithm.n, t = algorithm.t;
  Vector half[kMaxOf<Algorithm>][kMaxOf<Algorithm>];
  for (int j = 0; j < t; ++j) {
    Vector column[kMaxOf<Algorithm>];
    for (int i = 0; i < t; ++i) column[i] = read(i * t + j);
    algorithm.template input<Vector>([&](int i) __attribute__((always_inline)) { return column[i]; },
                                     [&](int a, Vector v) __attribute__((always_inline)) { half[a][j] = v; });
  }
  for (int a = 0; a < n; ++a) {
    algorithm.template input<Vector>([&](int j) __attribute__((always_inline)) { return half[a][j]; },
                                     [&](int b, Vector v) __attribute__((always_inline)) { write(a * n + b, v); });
  }
}

// Columns and rows of A^T: read(a * n + b) gives a product, write(i * m + j, y) takes an output.
template <typename Vector, class Algorithm, typename Read, typename Write>
[[gnu::always_inline]] inline void output_sides(const Algorithm& algorithm, const Read& read, const Write& write) {
  const int n = algorithm.n, m = algorithm.m;
  Vector half[kMaxOf<Algorithm>][kMaxOf<Algorithm>];
  for (int b = 0; b < n; ++b) {
    algorithm.template output<Vector>([&](int a) __attribute__((always_inline)) { return read(a * n + b); },
                                      [&](int i, Vector v) __attribute__((always_inline)) { half[i][b] = v; });
  }
  for (int i = 0; i < m; ++i) {
    algorithm.template output<Vector>([&](int b) __attribute__((always_inline)) { return half[i][b]; },
                                      [&](int j, Vector v) __attribute__((always_inline)) { write(i * m + j, v); });
  }
}

// V = B^T d of one tile: read(place) gives an input, write(tap, v) takes V.
template <typename Vector, class Algorithm, typename Read, typename Write>
[[gnu::always_inline]] inline void tile_input(const Algorithm& algorithm, const Read& read, const Write& write) {
  if constexpr (kWhole<Algorithm>) {
    algorithm.template input<Vector>(read, write);
  } else if constexpr (kMixes<Algorithm>) {
    Vector mixed[Algorithm::n * Algorithm::n + Algorithm::kMade];
    input_sides<Vector>(algorithm, read, [&](int place, Vector v) __attribute__((always_inline)) { mixed[place] = v; });
    algorithm.template into<Vector>([&](int place) __attribute__((always_inline)) { return mixed[place]; },
                                    [&](int place, Vector v) __attribute__((always_inline)) { mixed[place] = v; });
    for (int tap = 0; tap < Algorithm::taps; ++tap) write(tap, mixed[Algorithm::source[tap]]);
  } else {
    input_sides<Vector>(algorithm, read, write);
  }
}

// Y = A^T M of one tile: read(tap) gives a product, write(place, y) takes an output.
template <typename Vector, class Algorithm, typename Read, typename Write>
[[gnu::always_inline]] inline void tile_output(const Algorithm& algorithm, const Read& read, const Write& write) {
  if constexpr (kWhole<Algorithm>) {
    algorithm.template output<Vector>(read, write);
  } else if constexpr (kMixes<Algorithm>) {
    Vector mixed[Algorithm::n * Algorithm::n];
    algorithm.template back<Vector>(read, [&](int place, Vector v) __attribute__((always_inline)) { mixed[place] = v; });
    output_sides<Vector>(algorithm, [&](int place) __attribute__((always_inline)) { return mixed[place]; }, write);
  } else {
    output_sides<Vector>(algorithm, read, write);
  }
}

}  // namespace tilewise::TILEWISE_SET
