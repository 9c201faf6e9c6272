// What the sets on 64-byte vectors of x86-64 share: AVX-512 (F, BW, VL, DQ), all but the product of bytes.
//
#pragma once

#include <immintrin.h>

#include <cstddef>

#define TILEWISE_VECTOR_BYTES 64
#include "kernels/vectors.h"

namespace tilewise::TILEWISE_SET {

[[gnu::always_inline]] inline I16 mulhrs(I16 a, I16 b) {
  return reinterpret_cast<I16>(
      _mm512_mulhrs_epi16(reinterpret_cast<__m512i>(a), reinterpret_cast<__m512i>(b)));
}
[[gnu::always_inline]] inline F32 fused(F32 a, F32 b, F32 c) { return _mm512_fmadd_ps(a, b, c); }
inline constexpr bool kFloorSaturates = true;
[[gnu::always_inline]] inline I32 floor_to_int(F32 v) {
  return reinterpret_cast<I32>(_mm512_cvt_roundps_epi32(v, _MM_FROUND_TO_NEG_INF | _MM_FROUND_NO_EXC));
}
[[gnu::always_inline]] inline F32 rounded_down(F32 v) {
  return _mm512_roundscale_ps(v, _MM_FROUND_TO_NEG_INF | _MM_FROUND_NO_EXC);
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
template <typename V>
[[gnu::always_inline]] inline V low_bytes(V a, V b) {
  return reinterpret_cast<V>(
      _mm512_unpacklo_epi8(reinterpret_cast<__m512i>(a), reinterpret_cast<__m512i>(b)));
}
template <typename V>
[[gnu::always_inline]] inline V high_bytes(V a, V b) {
  return reinterpret_cast<V>(
      _mm512_unpackhi_epi8(reinterpret_cast<__m512i>(a), reinterpret_cast<__m512i>(b)));
}
template <typename V>
[[gnu::always_inline]] inline V low_shorts(V a, V b) {
  return reinterpret_cast<V>(
      _mm512_unpacklo_epi16(reinterpret_cast<__m512i>(a), reinterpret_cast<__m512i>(b)));
}
template <typename V>
[[gnu::always_inline]] inline V high_shorts(V a, V b) {
  return reinterpret_cast<V>(
      _mm512_unpackhi_epi16(reinterpret_cast<__m512i>(a), reinterpret_cast<__m512i>(b)));
}
[[gnu::always_inline]] inline I16 pack(I32 a, I32 b) {
  return reinterpret_cast<I16>(
      _mm512_packs_epi32(reinterpret_cast<__m512i>(a), reinterpret_cast<__m512i>(b)));
}
[[gnu::always_inline]] inline I8 pack(I16 a, I16 b) {
  return reinterpret_cast<I8>(_mm512_packs_epi16(reinterpret_cast<__m512i>(a), reinterpret_cast<__m512i>(b)));
}
[[gnu::always_inline]] inline I8 pack_bytes(I16 a, I16 b) {
  return reinterpret_cast<I8>(_mm512_packus_epi16(reinterpret_cast<__m512i>(a), reinterpret_cast<__m512i>(b)));
}
[[gnu::always_inline]] inline I8 gather_quads(I8 v) {
  const __m512i order = _mm512_setr_epi32(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15);
  return reinterpret_cast<I8>(_mm512_permutexvar_epi32(order, reinterpret_cast<__m512i>(v)));
}
}  // namespace tilewise::TILEWISE_SET
