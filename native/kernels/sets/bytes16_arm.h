// What the sets on the 16-byte vectors of aarch64 share: all but the product of bytes.
#pragma once

#include <arm_neon.h>
#include <sys/auxv.h>

#include <cstddef>

#define TILEWISE_VECTOR_BYTES 16
#include "kernels/vectors.h"
#include "kernels/plain_vectors.h"

namespace tilewise::TILEWISE_SET {

[[gnu::always_inline]] inline I32 dot2(I32 sum, I32 a, I32 b) {
  const auto x = reinterpret_cast<int16x8_t>(a), y = reinterpret_cast<int16x8_t>(b);
  const int32x4_t low = vmull_s16(vget_low_s16(x), vget_low_s16(y)), high = vmull_high_s16(x, y);
  return wrapping_sum(sum, reinterpret_cast<I32>(vpaddq_s32(low, high)));
}
[[gnu::always_inline]] inline I16 mulhrs(I16 a, I16 b) {
  return reinterpret_cast<I16>(
      vqrdmulhq_s16(reinterpret_cast<int16x8_t>(a), reinterpret_cast<int16x8_t>(b)));
}
[[gnu::always_inline]] inline F32 fused(F32 a, F32 b, F32 c) {
  return reinterpret_cast<F32>(vfmaq_f32(reinterpret_cast<float32x4_t>(c), reinterpret_cast<float32x4_t>(a),
                                         reinterpret_cast<float32x4_t>(b)));
}
inline constexpr bool kFloorSaturates = false;
[[gnu::always_inline]] inline I32 floor_to_int(F32 v) {
  return reinterpret_cast<I32>(vcvtmq_s32_f32(reinterpret_cast<float32x4_t>(v)));
}
[[gnu::always_inline]] inline F32 rounded_down(F32 v) {
  return reinterpret_cast<F32>(vrndmq_f32(reinterpret_cast<float32x4_t>(v)));
}
[[gnu::always_inline]] inline I16 pack(I32 a, I32 b) {
  const int16x4_t low = vqmovn_s32(reinterpret_cast<int32x4_t>(a));
  return reinterpret_cast<I16>(vqmovn_high_s32(low, reinterpret_cast<int32x4_t>(b)));
}
[[gnu::always_inline]] inline I8 pack(I16 a, I16 b) {
  const int8x8_t low = vqmovn_s16(reinterpret_cast<int16x8_t>(a));
  return reinterpret_cast<I8>(vqmovn_high_s16(low, reinterpret_cast<int16x8_t>(b)));
}
[[gnu::always_inline]] inline I8 pack_bytes(I16 a, I16 b) {
  const uint8x8_t low = vqmovun_s16(reinterpret_cast<int16x8_t>(a));
  return reinterpret_cast<I8>(vqmovun_high_s16(low, reinterpret_cast<int16x8_t>(b)));
}

}  // namespace tilewise::TILEWISE_SET
