// What the sets on 64-byte vectors of x86-64 share: AVX-512 (F, BW, VL, DQ) and VNNI. The set's .cpp names it
// (TILEWISE_SET) and includes this file first.
#pragma once

#include <immintrin.h>

#include <cstddef>

#define TILEWISE_VECTOR_BYTES 64
#include "kernels/bodies/simd.h"

namespace tilewise::TILEWISE_SET {

inline constexpr int kPanelVectors = 4;

[[gnu::always_inline]] inline I32 dot4(I32 sum, I32 u8, I32 s8) {
  return reinterpret_cast<I32>(_mm512_dpbusd_epi32(
      reinterpret_cast<__m512i>(sum), reinterpret_cast<__m512i>(u8), reinterpret_cast<__m512i>(s8)));
}
[[gnu::always_inline]] inline I32 dot2(I32 sum, I32 a, I32 b) {
  return reinterpret_cast<I32>(_mm512_dpwssd_epi32(
      reinterpret_cast<__m512i>(sum), reinterpret_cast<__m512i>(a), reinterpret_cast<__m512i>(b)));
}
[[gnu::always_inline]] inline I16 mulhrs(I16 a, I16 b) {
  return reinterpret_cast<I16>(
      _mm512_mulhrs_epi16(reinterpret_cast<__m512i>(a), reinterpret_cast<__m512i>(b)));
}
[[gnu::always_inline]] inline F32 fused(F32 a, F32 b, F32 c) { return _mm512_fmadd_ps(a, b, c); }
[[gnu::always_inline]] inline F32 larger(F32 a, F32 b) { return _mm512_max_ps(a, b); }
[[gnu::always_inline]] inline F32 smaller(F32 a, F32 b) { return _mm512_min_ps(a, b); }
[[gnu::always_inline]] inline I16 larger(I16 a, I16 b) {
  return reinterpret_cast<I16>(_mm512_max_epi16(reinterpret_cast<__m512i>(a), reinterpret_cast<__m512i>(b)));
}
[[gnu::always_inline]] inline I16 smaller(I16 a, I16 b) {
  return reinterpret_cast<I16>(_mm512_min_epi16(reinterpret_cast<__m512i>(a), reinterpret_cast<__m512i>(b)));
}
[[gnu::always_inline]] inline I32 floor_to_int(F32 v) {
  return reinterpret_cast<I32>(_mm512_cvt_roundps_epi32(v, _MM_FROUND_TO_NEG_INF | _MM_FROUND_NO_EXC));
}
[[gnu::always_inline]] inline U8 narrow(I32 v) {
  return reinterpret_cast<U8>(_mm512_cvtepi32_epi8(reinterpret_cast<__m512i>(v)));
}
[[gnu::always_inline]] inline U8Pair narrow_pair(I16 v) {
  return reinterpret_cast<U8Pair>(_mm512_cvtepi16_epi8(reinterpret_cast<__m512i>(v)));
}

}  // namespace tilewise::TILEWISE_SET
