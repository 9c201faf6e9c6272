// Bytes to numbers and back in plain C++, for vectors of 16 bytes on little-endian machines. Spelled so that
// compilers find the one or two instructions behind it: from __builtin_convertvector alone GCC 12 makes
// scalar code.
#pragma once

#include "kernels/vectors.h"

namespace tilewise::TILEWISE_SET {

static_assert(kBytes == 16);
using Bytes [[gnu::vector_size(16)]] = std::uint8_t;

// The first `count` bytes at p, then zeros.
template <std::size_t count>
[[gnu::always_inline]] inline Bytes load_some(const void* p) {
  Bytes bytes{};
  std::memcpy(&bytes, p, count);
  return bytes;
}

// The first eight bytes with a zero after each.
[[gnu::always_inline]] inline I16 spread(Bytes v) {
  return reinterpret_cast<I16>(
      __builtin_shufflevector(v, Bytes{}, 0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23));
}

[[gnu::always_inline]] inline I16 load_byte_pairs(const std::uint8_t* p) { return spread(load_some<8>(p)); }
[[gnu::always_inline]] inline I32 load_bytes(const std::uint8_t* p) {
  return reinterpret_cast<I32>(
      __builtin_shufflevector(spread(load_some<4>(p)), I16{}, 0, 8, 1, 9, 2, 10, 3, 11));
}

[[gnu::always_inline]] inline U8Pair narrow_pair(I16 v) { return __builtin_convertvector(v, U8Pair); }
// Of int32 as int16 every other one is zero, and so is every other byte of the first result.
[[gnu::always_inline]] inline U8 narrow(I32 v) {
  const U8Pair half = narrow_pair(reinterpret_cast<I16>(v));
  const U8Pair bytes = narrow_pair(reinterpret_cast<I16>(load_some<8>(&half)));
  return load<U8>(&bytes);
}

// The lower (higher) halves of a and b within each 16 bytes, one element of a, one of b, and so on.
template <typename V>
[[gnu::always_inline]] inline V low_bytes(V a, V b) {
  return reinterpret_cast<V>(__builtin_shufflevector(reinterpret_cast<I8>(a), reinterpret_cast<I8>(b), 0, 16,
                                                     1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23));
}
template <typename V>
[[gnu::always_inline]] inline V high_bytes(V a, V b) {
  return reinterpret_cast<V>(__builtin_shufflevector(reinterpret_cast<I8>(a), reinterpret_cast<I8>(b), 8, 24,
                                                     9, 25, 10, 26, 11, 27, 12, 28, 13, 29, 14, 30, 15, 31));
}
template <typename V>
[[gnu::always_inline]] inline V low_shorts(V a, V b) {
  return reinterpret_cast<V>(
      __builtin_shufflevector(reinterpret_cast<I16>(a), reinterpret_cast<I16>(b), 0, 8, 1, 9, 2, 10, 3, 11));
}
template <typename V>
[[gnu::always_inline]] inline V high_shorts(V a, V b) {
  return reinterpret_cast<V>(__builtin_shufflevector(reinterpret_cast<I16>(a), reinterpret_cast<I16>(b), 4,
                                                     12, 5, 13, 6, 14, 7, 15));
}

// What four packed vectors become has 4 bytes of each within each 16; this puts each vector's bytes together.
[[gnu::always_inline]] inline I8 gather_quads(I8 v) { return v; }

}  // namespace tilewise::TILEWISE_SET
