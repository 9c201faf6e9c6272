// The operations of a set in plain C++, for machines without better instructions. Needs simd.h.
#pragma once

namespace tilewise::TILEWISE_SET {

template <typename Vector>
[[gnu::always_inline]] inline Vector larger(Vector a, Vector b) {
  return a > b ? a : b;
}
template <typename Vector>
[[gnu::always_inline]] inline Vector smaller(Vector a, Vector b) {
  return a < b ? a : b;
}
[[gnu::always_inline]] inline F32 fused(F32 a, F32 b, F32 c) { return a * b + c; }
[[gnu::always_inline]] inline U8 narrow(I32 v) { return __builtin_convertvector(v, U8); }
[[gnu::always_inline]] inline U8Pair narrow_pair(I16 v) { return __builtin_convertvector(v, U8Pair); }

// Products of bytes fit 16 bits (255 * 128 < 2^15), so even and odd ones are multiplied as int16 and added as
// int32.
[[gnu::always_inline]] inline I32 dot4(I32 sum, I32 u8, I32 s8) {
  const auto pairs = reinterpret_cast<I16>(s8);
  const auto even = reinterpret_cast<I16>(u8 & 0x00FF00FF) * ((pairs << 8) >> 8);
  const auto odd = reinterpret_cast<I16>((u8 >> 8) & 0x00FF00FF) * (pairs >> 8);
  const auto e = reinterpret_cast<I32>(even), o = reinterpret_cast<I32>(odd);
  return sum + ((e << 16) >> 16) + (e >> 16) + ((o << 16) >> 16) + (o >> 16);
}

// sum + a0 * b0 + a1 * b1 on pairs of int16.
[[gnu::always_inline]] inline I32 dot2(I32 sum, I32 a, I32 b) {
  return sum + ((a << 16) >> 16) * ((b << 16) >> 16) + (a >> 16) * (b >> 16);
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

// The lower halves of each lane of both, as pairs.
[[gnu::always_inline]] inline I32 join(I32 low, I32 high) { return (low & 0xFFFF) | (high << 16); }

// Saturated to half the width: within each 16 bytes first a's elements, then b's.
[[gnu::always_inline]] inline I16 pack(I32 a, I32 b) {
  const I32 low = I32{} - 32768, high = I32{} + 32767;
  const auto x = reinterpret_cast<I16>(smaller(larger(a, low), high));
  const auto y = reinterpret_cast<I16>(smaller(larger(b, low), high));
  return __builtin_shufflevector(x, y, 0, 2, 4, 6, 8, 10, 12, 14);
}
[[gnu::always_inline]] inline I8 pack(I16 a, I16 b) {
  const I16 low = I16{} - std::int16_t{128}, high = I16{} + std::int16_t{127};
  const auto x = reinterpret_cast<I8>(smaller(larger(a, low), high));
  const auto y = reinterpret_cast<I8>(smaller(larger(b, low), high));
  return __builtin_shufflevector(x, y, 0, 2, 4, 6, 8, 10, 12, 14, 16, 18, 20, 22, 24, 26, 28, 30);
}

// What four packed vectors become has 4 bytes of each within each 16; this puts each vector's bytes together.
[[gnu::always_inline]] inline I8 gather_quads(I8 v) { return v; }

// (a * b + 2^14) >> 15, in halves of 32 bits.
[[gnu::always_inline]] inline I16 mulhrs(I16 a, I16 b) {
  const auto wide_a = reinterpret_cast<I32>(a), wide_b = reinterpret_cast<I32>(b);
  const I32 low = (((wide_a << 16) >> 16) * ((wide_b << 16) >> 16) + (1 << 14)) >> 15;
  const I32 high = ((wide_a >> 16) * (wide_b >> 16) + (1 << 14)) >> 15;
  return reinterpret_cast<I16>((low & 0xFFFF) | (high << 16));
}

[[gnu::always_inline]] inline I32 floor_to_int(F32 v) {
  const I32 truncated = __builtin_convertvector(v, I32);
  return truncated + (to_float(truncated) > v);  // a comparison gives -1 where it holds
}

}  // namespace tilewise::TILEWISE_SET
