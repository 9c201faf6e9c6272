// Bytes to numbers and back in plain C++, for vectors of 16 bytes on little-endian machines. Spelled so that
// compilers find the one or two instructions behind it: from __builtin_convertvector alone GCC 12 makes
// scalar code. Needs simd.h.
#pragma once

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

}  // namespace tilewise::TILEWISE_SET
