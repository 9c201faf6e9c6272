// What the sets on 64-byte vectors of x86-64 share: AVX-512 (F, BW, VL, DQ), all but the product of bytes.
// The set's .cpp names it (TILEWISE_SET) and includes this file first.
#pragma once

#include <immintrin.h>

#include <cstddef>

#define TILEWISE_VECTOR_BYTES 64
#include "kernels/bodies/simd.h"

namespace tilewise::TILEWISE_SET {

[[gnu::always_inline]] inline I16 mulhrs(I16 a, I16 b) {
  return reinterpret_cast<I16>(
      _mm512_mulhrs_epi16(reinterpret_cast<__m512i>(a), reinterpret_cast<__m512i>(b)));
}
[[gnu::always_inline]] inline F32 fused(F32 a, F32 b, F32 c) { return _mm512_fmadd_ps(a, b, c); }
[[gnu::always_inline]] inline I32 floor_to_int(F32 v) {
  return reinterpret_cast<I32>(_mm512_cvt_roundps_epi32(v, _MM_FROUND_TO_NEG_INF | _MM_FROUND_NO_EXC));
}
[[gnu::always_inline]] inline I32 load_bytes(const std::uint8_t* p) {
  return reinterpret_cast<I32>(_mm512_cvtepu8_epi32(load<__m128i>(p)));
}
[[gnu::always_inline]] inline I16 load_byte_pairs(const std::uint8_t* p) {
  return reinterpret_cast<I16>(_mm512_cvtepu8_epi16(load<__m256i>(p)));
}
[[gnu::always_inline]] inline U8Pair narrow_pair(I16 v) {
  return reinterpret_cast<U8Pair>(_mm512_cvtepi16_epi8(reinterpret_cast<__m512i>(v)));
}
[[gnu::always_inline]] inline U8 narrow(I32 v) {
  return reinterpret_cast<U8>(_mm512_cvtepi32_epi8(reinterpret_cast<__m512i>(v)));
}

}  // namespace tilewise::TILEWISE_SET
