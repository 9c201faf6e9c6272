// Any machine: plain C++ on 16-byte vectors, which every 64-bit machine has.
#pragma once

#include <cstddef>

#ifdef __SSE2__
#include <emmintrin.h>
#endif

#define TILEWISE_VECTOR_BYTES 16
#include "kernels/vectors.h"
#include "kernels/plain_vectors.h"

namespace tilewise::TILEWISE_SET {

inline constexpr int kPanelVectors = 2, kByteRows = 4, kFloatRows = 4;  // 16 registers; a split product takes four of them

[[gnu::always_inline]] inline I32 dot2(I32 sum, I32 a, I32 b) {
#ifdef __SSE2__  // every x86-64 has this instruction, and no spelling in plain C++ makes GCC use it
  return wrapping_sum(sum, reinterpret_cast<I32>(_mm_madd_epi16(reinterpret_cast<__m128i>(a),
                                                                reinterpret_cast<__m128i>(b))));
#else
  return wrapping_sum(wrapping_sum(sum, ((a << 16) >> 16) * ((b << 16) >> 16)), (a >> 16) * (b >> 16));
#endif
}

// Even and odd ones apart, as a pair with zero.
[[gnu::always_inline]] inline I16 mulhrs(I16 a, I16 b) {
  const auto pairs = reinterpret_cast<I32>(a), factors = reinterpret_cast<I32>(b), half = I32{} + (1 << 14);
  const I32 even = dot2(half, pairs & 0x0000FFFF, factors) >> 15;
  const I32 odd = dot2(half, pairs & ~0x0000FFFF, factors) >> 15;
  return reinterpret_cast<I16>((even & 0xFFFF) | (odd << 16));
}

[[gnu::always_inline]] inline I16 pack(I32 a, I32 b) {
  const I32 low = I32{} - 32768, high = I32{} + 32767;
  const auto x = reinterpret_cast<I16>(smaller(larger(a, low), high));
  const auto y = reinterpret_cast<I16>(smaller(larger(b, low), high));
  return __builtin_shufflevector(x, y, 0, 2, 4, 6, 8, 10, 12, 14);
}
template <std::int16_t kLow, std::int16_t kHigh>
[[gnu::always_inline]] inline I8 packed(I16 a, I16 b) {
  const I16 low = I16{} + kLow, high = I16{} + kHigh;
  const auto x = reinterpret_cast<I8>(smaller(larger(a, low), high));
  const auto y = reinterpret_cast<I8>(smaller(larger(b, low), high));
  return __builtin_shufflevector(x, y, 0, 2, 4, 6, 8, 10, 12, 14, 16, 18, 20, 22, 24, 26, 28, 30);
}
[[gnu::always_inline]] inline I8 pack(I16 a, I16 b) { return packed<-128, 127>(a, b); }
[[gnu::always_inline]] inline I8 pack_bytes(I16 a, I16 b) { return packed<0, 255>(a, b); }

[[gnu::always_inline]] inline F32 fused(F32 a, F32 b, F32 c) { return a * b + c; }

inline constexpr bool kFloorSaturates = false;
[[gnu::always_inline]] inline I32 floor_to_int(F32 v) {
  const I32 truncated = __builtin_convertvector(v, I32);
  return truncated + (to_float(truncated) > v);  // a comparison gives -1 where it holds
}
// Floats beyond 2^23 are whole already, and what is not a number stays so.
[[gnu::always_inline]] inline F32 rounded_down(F32 v) {
  const F32 size = larger(v, -v);
  return size < 8388608.0F ? to_float(floor_to_int(v)) : v;
}

}  // namespace tilewise::TILEWISE_SET

#include "kernels/dot4.h"
