// Exact fast convolution: arithmetic modulo 2^32 instead of requantization.
//
// A triple of integer matrices with  sum_n A[i,n] G[n,k] B[n,j] == D [j == i + k]  gives D^2 times a
// convolution in two dimensions. Sums of int16 products that wrap around in int32 are right modulo 2^32
// however large they grow, as long as V = B^T q B and U = G w G^T themselves fit int16; so are the sums of
// the output transform. The odd part of D^2 has an inverse modulo 2^32; its power of two 2^shift goes by an
// arithmetic shift, which is exact while |y| < 2^(31 - shift). So y is the integer that the direct
// convolution has. docs/contracts/lossless.md.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <vector>

namespace tilewise::wrapping {

using Matrix = std::span<const std::int32_t>;  // row by row

inline constexpr std::int32_t kMostFactor = 32767;  // of a matrix, by absolute value
inline constexpr std::int64_t kMostShort = 32767;   // that V and U may reach

// The sizes of an algorithm: m outputs, r filter taps, n products, t = m + r - 1 inputs. Matrices of planar ones stand
// for whole tiles.
struct Sizes {
  std::int64_t m, r, n;
  bool planar = false;
  std::int64_t t() const { return m + r - 1; }
  std::int64_t taps() const { return planar ? n : n * n; }
};

// D, if the integer matrices at [m][n], g [n][r] and bt [n][t] are a convolution times a positive D; of a planar
// algorithm, at [m*m][n], g [n][r*r] and bt [n][t*t], what stands for D^2. Factors are at most kMostFactor, sizes small.
std::optional<std::int64_t> denominator(const Sizes& sizes, Matrix at, Matrix g, Matrix bt);

// y = (D^2 y * inverse mod 2^32) >> shift.
struct Division {
  std::uint32_t inverse;
  int shift;
};
Division division(const Sizes& sizes, std::int64_t denominator);

// The largest |V| that B^T makes of numbers low .. high, 0 among them.
std::int64_t largest_v(const Sizes& sizes, Matrix bt, std::int64_t low, std::int64_t high);

// U [taps][K][C] of weights [K][r][r][C], as wide as it takes.
std::vector<std::int64_t> transform_weights(const Sizes& sizes, Matrix g, std::span<const std::int8_t> weight,
                                            std::int64_t channels);

}  // namespace tilewise::wrapping
