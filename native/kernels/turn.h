// Square blocks turned: rows become columns.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <utility>

#include "kernels/format.h"

namespace tilewise::TILEWISE_SET {

// In squares of as many numbers as 16 bytes hold. Each round interleaves the first half of the rows with the second; after
// as many rounds as the number of rows has bits, all rows are columns.
template <typename T>
class Turn {
 public:
  [[gnu::always_inline]] static void block(const T (&from)[kPiece][kPiece], T (&to)[kPiece][kPiece]) {
    for (int i = 0; i < kPiece; i += kSide) {
      for (int j = 0; j < kPiece; j += kSide) {
        Row rows[kSide];
        for (int k = 0; k < kSide; ++k) std::memcpy(&rows[k], &from[i + k][j], sizeof(Row));
        for (int round = 1; round < kSide; round *= 2) interleave(rows, std::make_integer_sequence<int, kSide>());
        for (int k = 0; k < kSide; ++k) std::memcpy(&to[j + k][i], &rows[k], sizeof(Row));
      }
    }
  }

 private:
  static constexpr int kSide = 16 / sizeof(T);
  using Row [[gnu::vector_size(16)]] = T;

  template <int... I>
  [[gnu::always_inline]] static void interleave(Row (&rows)[kSide], std::integer_sequence<int, I...>) {
    Row next[kSide];
#pragma GCC unroll 8
    for (int k = 0; k < kSide / 2; ++k) {
      const Row a = rows[k], b = rows[k + kSide / 2];
      next[2 * k] = __builtin_shufflevector(a, b, (I / 2 + I % 2 * kSide)...);
      next[2 * k + 1] = __builtin_shufflevector(a, b, (kSide / 2 + I / 2 + I % 2 * kSide)...);
    }
#pragma GCC unroll 16
    for (int k = 0; k < kSide; ++k) rows[k] = next[k];
  }
};

// At most kPiece numbers.
template <typename T>
[[gnu::always_inline]] inline void copy_piece(const T* from, std::int64_t count, T* to) {
  if (count == kPiece) {
    std::memcpy(to, from, kPiece * sizeof(T));  // a constant: one or a few moves
  } else {
    std::memcpy(to, from, static_cast<std::size_t>(count) * sizeof(T));
  }
}

}  // namespace tilewise::TILEWISE_SET
