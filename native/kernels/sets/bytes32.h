// What the sets on 32-byte vectors of x86-64 share: AVX2 and FMA, all but the product of bytes. The set's
// .cpp names it (TILEWISE_SET) and includes this file first.
#pragma once

#include <immintrin.h>

#include <cstddef>

#define TILEWISE_VECTOR_BYTES 32
#include "kernels/vectors.h"

namespace tilewise::TILEWISE_SET {

[[gnu::always_inline]] inline I16 mulhrs(I16 a, I16 b) {
  return reinterpret_cast<I16>(
      _mm256_mulhrs_epi16(reinterpret_cast<__m256i>(a), reinterpret_cast<__m256i>(b)));
}
[[gnu::always_inline]] inline F32 fused(F32 a, F32 b, F32 c) { return _mm256_fmadd_ps(a, b, c); }
inline constexpr bool kFloorSaturates = true;
[[gnu::always_inline]] inline I32 floor_to_int(F32 v) {
  return reinterpret_cast<I32>(_mm256_cvttps_epi32(_mm256_floor_ps(v)));
}
[[gnu::always_inline]] inline F32 rounded_down(F32 v) { return _mm256_floor_ps(v); }
[[gnu::always_inline]] inline I32 load_bytes(const std::uint8_t* p) {
  return reinterpret_cast<I32>(_mm256_cvtepu8_epi32(_mm_loadu_si64(p)));
}
[[gnu::always_inline]] inline I16 load_byte_pairs(const std::uint8_t* p) {
  return reinterpret_cast<I16>(_mm256_cvtepu8_epi16(load<__m128i>(p)));
}
[[gnu::always_inline]] inline U8Pair narrow_pair(I16 v) {
  const auto all = reinterpret_cast<__m256i>(v);
  return reinterpret_cast<U8Pair>(
      _mm_packus_epi16(_mm256_castsi256_si128(all), _mm256_extracti128_si256(all, 1)));
}
[[gnu::always_inline]] inline U8 narrow(I32 v) {
  const auto all = reinterpret_cast<__m256i>(v);
  const __m128i words = _mm_packs_epi32(_mm256_castsi256_si128(all), _mm256_extracti128_si256(all, 1));
  return reinterpret_cast<U8>(_mm_cvtsi128_si64(_mm_packus_epi16(words, words)));
}
template <typename V>
[[gnu::always_inline]] inline V low_bytes(V a, V b) {
  return reinterpret_cast<V>(
      _mm256_unpacklo_epi8(reinterpret_cast<__m256i>(a), reinterpret_cast<__m256i>(b)));
}
template <typename V>
[[gnu::always_inline]] inline V high_bytes(V a, V b) {
  return reinterpret_cast<V>(
      _mm256_unpackhi_epi8(reinterpret_cast<__m256i>(a), reinterpret_cast<__m256i>(b)));
}
template <typename V>
[[gnu::always_inline]] inline V low_shorts(V a, V b) {
  return reinterpret_cast<V>(
      _mm256_unpacklo_epi16(reinterpret_cast<__m256i>(a), reinterpret_cast<__m256i>(b)));
}
template <typename V>
[[gnu::always_inline]] inline V high_shorts(V a, V b) {
  return reinterpret_cast<V>(
      _mm256_unpackhi_epi16(reinterpret_cast<__m256i>(a), reinterpret_cast<__m256i>(b)));
}
[[gnu::always_inline]] inline I16 pack(I32 a, I32 b) {
  return reinterpret_cast<I16>(
      _mm256_packs_epi32(reinterpret_cast<__m256i>(a), reinterpret_cast<__m256i>(b)));
}
[[gnu::always_inline]] inline I8 pack(I16 a, I16 b) {
  return reinterpret_cast<I8>(_mm256_packs_epi16(reinterpret_cast<__m256i>(a), reinterpret_cast<__m256i>(b)));
}
[[gnu::always_inline]] inline I8 pack_bytes(I16 a, I16 b) {
  return reinterpret_cast<I8>(_mm256_packus_epi16(reinterpret_cast<__m256i>(a), reinterpret_cast<__m256i>(b)));
}
[[gnu::always_inline]] inline I8 gather_quads(I8 v) {
  const __m256i order = _mm256_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7);
  return reinterpret_cast<I8>(_mm256_permutevar8x32_epi32(reinterpret_cast<__m256i>(v), order));
}
}  // namespace tilewise::TILEWISE_SET
