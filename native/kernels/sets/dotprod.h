// aarch64 with the dot products of Armv8.2: signed bytes with signed bytes only.
#pragma once

#include "kernels/sets/bytes16_arm.h"

namespace tilewise::TILEWISE_SET {

inline constexpr int kPanelVectors = 4, kByteRows = 6, kFloatRows = 6;  // 32 registers
inline constexpr bool kSignedRows = true;

[[gnu::always_inline]] inline I32 dot4(I32 sum, I32 a, I32 b) {
  return reinterpret_cast<I32>(vdotq_s32(reinterpret_cast<int32x4_t>(sum), reinterpret_cast<int8x16_t>(a),
                                         reinterpret_cast<int8x16_t>(b)));
}

}  // namespace tilewise::TILEWISE_SET
