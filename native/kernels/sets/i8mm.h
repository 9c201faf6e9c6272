// aarch64 with the int8 matrix extension of Armv8.6, which has dot products of unsigned with signed bytes.
#pragma once

#include "kernels/sets/bytes16_arm.h"

namespace tilewise::TILEWISE_SET {

inline constexpr int kPanelVectors = 4, kByteRows = 6, kFloatRows = 6;  // 32 registers
inline constexpr bool kSignedRows = false;

[[gnu::always_inline]] inline I32 dot4(I32 sum, I32 a, I32 b) {
  return reinterpret_cast<I32>(vusdotq_s32(reinterpret_cast<int32x4_t>(sum), reinterpret_cast<uint8x16_t>(a),
                                           reinterpret_cast<int8x16_t>(b)));
}

}  // namespace tilewise::TILEWISE_SET
