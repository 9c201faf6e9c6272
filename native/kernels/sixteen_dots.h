// Products of 16-bit numbers: int16 with exact int32 sums, and bf16 with float sums.
#pragma once

#include <cstdint>
#include <cstring>

#include "kernels/dot.h"

namespace tilewise::TILEWISE_SET {

struct Int16Dot {
  struct Session {};
  using In = std::int16_t;
  using Weight = std::int16_t;
  using Sum = std::int32_t;
  using Vector = I32;
  static constexpr std::int64_t kGroup = 2, kDepth = 1;
  static constexpr int kRows = kFloatRows;
  static constexpr std::int32_t kRowOffset = 0;
  [[gnu::always_inline]] static Vector splat(const In* p) {
    std::int32_t two;
    std::memcpy(&two, p, sizeof two);
    return I32{} + two;
  }
  [[gnu::always_inline]] static Vector mac(Vector sum, Vector a, Vector b) { return dot2(sum, a, b); }
};

// bf16 numbers are the upper halves of floats, so a product of two is exact in float. Pairs lie in a float's
// bits.
struct Bf16Dot {
  struct Session {};
  using In = std::uint16_t;
  using Weight = std::uint16_t;
  using Sum = float;
  using Vector = F32;
  static constexpr std::int64_t kGroup = 2, kDepth = 1;
  static constexpr int kRows = kByteRows;  // a product split in two, as one of bytes may be
  static constexpr std::int32_t kRowOffset = 0;
  [[gnu::always_inline]] static Vector splat(const In* p) {
    float two;
    std::memcpy(&two, p, sizeof two);
    return two - F32{};
  }
  [[gnu::always_inline]] static Vector mac(Vector sum, Vector a, Vector b) {
    return fused(second(a), second(b), fused(first(a), first(b), sum));
  }

 private:
  [[gnu::always_inline]] static F32 first(F32 pair) {
    return reinterpret_cast<F32>(reinterpret_cast<I32>(pair) << 16);
  }
  [[gnu::always_inline]] static F32 second(F32 pair) {
    return reinterpret_cast<F32>(reinterpret_cast<I32>(pair) & ~0xFFFF);
  }
};

}  // namespace tilewise::TILEWISE_SET
