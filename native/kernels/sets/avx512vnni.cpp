// x86-64 with AVX-512 (F, BW, VL, DQ) and VNNI. The only code built with those instructions: see
// CMakeLists.txt.
#include <immintrin.h>

#include <cstddef>

#define TILEWISE_SET avx512vnni
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
[[gnu::always_inline]] inline I8 larger(I8 a, I8 b) {
  return reinterpret_cast<I8>(_mm512_max_epi8(reinterpret_cast<__m512i>(a), reinterpret_cast<__m512i>(b)));
}
[[gnu::always_inline]] inline I8 smaller(I8 a, I8 b) {
  return reinterpret_cast<I8>(_mm512_min_epi8(reinterpret_cast<__m512i>(a), reinterpret_cast<__m512i>(b)));
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
[[gnu::always_inline]] inline I32 join(I32 low, I32 high) {
  return reinterpret_cast<I32>(_mm512_mask_blend_epi16(0xAAAAAAAA, reinterpret_cast<__m512i>(low),
                                                       reinterpret_cast<__m512i>(high << 16)));
}
[[gnu::always_inline]] inline I16 pack(I32 a, I32 b) {
  return reinterpret_cast<I16>(
      _mm512_packs_epi32(reinterpret_cast<__m512i>(a), reinterpret_cast<__m512i>(b)));
}
[[gnu::always_inline]] inline I8 pack(I16 a, I16 b) {
  return reinterpret_cast<I8>(_mm512_packs_epi16(reinterpret_cast<__m512i>(a), reinterpret_cast<__m512i>(b)));
}
[[gnu::always_inline]] inline I8 gather_quads(I8 v) {
  const __m512i order = _mm512_setr_epi32(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15);
  return reinterpret_cast<I8>(_mm512_permutexvar_epi32(order, reinterpret_cast<__m512i>(v)));
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

#include "kernels/sets/bodies.inc"

namespace tilewise {

namespace {

bool supported() {
  return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
         __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512dq") &&
         __builtin_cpu_supports("avx512vnni") && __builtin_cpu_supports("fma");
}

}  // namespace

extern const KernelSet kAvx512vnni;
const KernelSet kAvx512vnni = {
    "avx512vnni",
    "AVX-512 with VNNI: 64 bytes at once, four int8 products per lane and instruction",
    supported,
    avx512vnni::measure_peaks,
#define TILEWISE_KERNEL(name, Params) avx512vnni::make_##name,
#include "kernels/kernels.inc"
#undef TILEWISE_KERNEL
};

}  // namespace tilewise
