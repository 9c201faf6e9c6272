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

// Pairs of int16: sum + a0 * b0 + a1 * b1.
[[gnu::always_inline]] inline I32 dot2(I32 sum, I32 a, I32 b) {
  return sum + ((a << 16) >> 16) * ((b << 16) >> 16) + (a >> 16) * (b >> 16);
}

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
