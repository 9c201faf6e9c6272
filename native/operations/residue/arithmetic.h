// Exact convolution by residues: Toom-Cook over Z_p, for several moduli p (docs/contracts/lossless.md).
//
// Over Z_p fractions are inverses and nothing grows, so tiles are large. The points 0, +-1, +-2, ... and
// infinity make the rows of x and -x share the even and the odd half of their sums. Numbers are reduced by
// float quotients, which leaves them a little more than half a modulus from 0: reduced() says how much.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

namespace tilewise::residue {

inline constexpr std::int64_t kMostModuli = 4;
inline constexpr std::int64_t kLargestModulus = 8191;
inline constexpr std::int64_t kLargestByteModulus = 255;  // of residues that are multiplied as bytes
inline constexpr std::int64_t kLargestTile = 18;          // inputs

// m outputs and r taps; their tile of t inputs has as many products. t is even, so that points come in pairs.
struct Sizes {
  std::int64_t m, r;
  std::int64_t t() const { return m + r - 1; }
};

// y = A^T [(G g) * (B^T d)] modulo `modulus`, entries as near 0 as they can be. Points in the order 0, 1, -1,
// 2, -2, ..., infinity.
struct Triple {
  std::int32_t modulus;
  std::vector<std::int32_t> at, g, bt;  // [m][t], [t][r], [t][t]
};

// Whether the points of a tile differ modulo every factor of an odd modulus.
bool tells_points_apart(std::int64_t modulus, const Sizes& sizes);
Triple triple(std::int32_t modulus, const Sizes& sizes);
// Whether it is a convolution modulo its modulus.
bool is_convolution(const Triple& triple, const Sizes& sizes);

std::int64_t inverse(std::int64_t value, std::int64_t modulus);
// The residue nearest 0.
std::int64_t symmetric(std::int64_t value, std::int64_t modulus);

// The largest absolute value that is left of numbers up to `largest` by absolute value: float quotients are
// wrong by less than 2^-22 of themselves.
constexpr std::int64_t reduced(std::int64_t modulus, std::int64_t largest) {
  return modulus / 2 + (largest >> 21);
}

// The largest |V| of bytes whose numbers reach `largest_q`.
std::int64_t largest_v(const Triple& triple, const Sizes& sizes, std::int64_t largest_q);

// U [t*t][K][C] of weights [K][r][r][C].
std::vector<std::int16_t> transform_weights(const Triple& triple, const Sizes& sizes,
                                            std::span<const std::int8_t> weight, std::int64_t channels);

// A matrix [rows][t] whose rows for x and -x have equal even and opposite odd places: both halves of the rows
// of 0 and 1, 2, ... (of infinity and 1, 2, ... for the odd one), [t / 2][t / 2]. And the transpose of A^T:
// even and odd outputs, [m / 2][t / 2], of sums and differences of the products of x and -x.
struct Halves {
  std::vector<std::int32_t> even, odd;
};
Halves input_halves(const Triple& triple, const Sizes& sizes);
Halves output_halves(const Triple& triple, const Sizes& sizes);

}  // namespace tilewise::residue
