// x86-64 with AVX2, FMA and AVX-VNNI: current machines without AVX-512.
#pragma once

#include "kernels/sets/bytes32.h"

namespace tilewise::TILEWISE_SET {

inline constexpr int kPanelVectors = 2, kByteRows = 6, kFloatRows = 6;  // 16 registers
inline constexpr bool kSignedRows = false;

[[gnu::always_inline]] inline I32 dot4(I32 sum, I32 a, I32 b) {
  return reinterpret_cast<I32>(_mm256_dpbusd_avx_epi32(
      reinterpret_cast<__m256i>(sum), reinterpret_cast<__m256i>(a), reinterpret_cast<__m256i>(b)));
}
[[gnu::always_inline]] inline I32 dot2(I32 sum, I32 a, I32 b) {
  return reinterpret_cast<I32>(_mm256_dpwssd_avx_epi32(
      reinterpret_cast<__m256i>(sum), reinterpret_cast<__m256i>(a), reinterpret_cast<__m256i>(b)));
}

}  // namespace tilewise::TILEWISE_SET
