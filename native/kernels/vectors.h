// Vectors for the bodies of all kernel sets, by the compiler's own vector extension.
//
// A set's header (this_set.h) defines TILEWISE_VECTOR_BYTES, includes this file, and adds what has no portable
// spelling:
//
//   kPanelVectors; kByteRows, kFloatRows    the accumulators of a micro-kernel (dot.h): what the registers
//   hold kSignedRows              dot4 wants bytes less 128 for its first factors (dot.h subtracts them)
//   dot4(sum, a, b)          sum + a0*b0 + a1*b1 + a2*b2 + a3*b3 per lane; a: unsigned bytes, b: signed bytes
//   dot2(sum, a, b)          sum + a0*b0 + a1*b1 per lane, modulo 2^32; int16 pairs
//   mulhrs(a, b)             (a*b + 2^14) >> 15
//   fused(a, b, c)           a*b + c, rounded once where the machine can
//   floor_to_int(v)          for |v| < 2^31
//   kFloorSaturates          floor_to_int is the smallest int32 below, and of what is not a number
//   rounded_down(v)          the largest whole float up to v
//   load_bytes, load_byte_pairs          kLanes bytes as I32, 2 * kLanes bytes as I16
//   narrow(I32), narrow_pair(I16)        the way back, for values 0 .. 255
//   low_bytes(a, b), high_bytes, low_shorts, high_shorts
//                            elements of a and b in turns, within each 16 bytes, from its lower (higher) half
//   pack(I32, I32), pack(I16, I16)       saturated to half the width: within each 16 bytes first a's, then b's
//   pack_bytes(I16, I16)     the same, saturated to 0 .. 255
//   gather_quads(I8)         after two packs of four vectors: the bytes of each vector together
#pragma once

#include <cstdint>
#include <cstring>

namespace tilewise::TILEWISE_SET {

inline constexpr int kBytes = TILEWISE_VECTOR_BYTES;
inline constexpr int kLanes = kBytes / 4;  // of float and int32

using F32 [[gnu::vector_size(kBytes)]] = float;
using I32 [[gnu::vector_size(kBytes)]] = std::int32_t;
using U32 [[gnu::vector_size(kBytes)]] = std::uint32_t;
using I16 [[gnu::vector_size(kBytes)]] = std::int16_t;   // 2 * kLanes of them
using U16 [[gnu::vector_size(kBytes)]] = std::uint16_t;  // as many
using I8 [[gnu::vector_size(kBytes)]] = std::int8_t;     // 4 * kLanes of them
using F64 [[gnu::vector_size(kBytes * 2)]] = double;     // kLanes of them
using I64 [[gnu::vector_size(kBytes * 2)]] = std::int64_t;
using U8 [[gnu::vector_size(kBytes / 4)]] = std::uint8_t;      // kLanes of them
using U8Pair [[gnu::vector_size(kBytes / 2)]] = std::uint8_t;  // 2 * kLanes of them

// Vectors anywhere in memory, whatever lies there. (A memcpy would say the same, but GCC 12 makes it a pair
// of integers on aarch64, and then keeps accumulators in memory.)
template <typename Vector>
struct [[gnu::packed, gnu::may_alias]] Anywhere {
  Vector value;
};
template <typename Vector>
[[gnu::always_inline]] inline Vector load(const void* p) {
  return static_cast<const Anywhere<Vector>*>(p)->value;
}
template <typename Vector>
[[gnu::always_inline]] inline void store(void* p, const Vector& v) {
  static_cast<Anywhere<Vector>*>(p)->value = v;
}

// Modulo 2^32.
[[gnu::always_inline]] inline I32 wrapping_sum(I32 a, I32 b) {
  return reinterpret_cast<I32>(reinterpret_cast<U32>(a) + reinterpret_cast<U32>(b));
}

[[gnu::always_inline]] inline F32 to_float(I32 v) { return __builtin_convertvector(v, F32); }

// One instruction on x86: b where a is not a number, as its maximum and minimum have it.
template <typename Vector>
[[gnu::always_inline]] inline Vector larger(Vector a, Vector b) {
  return a > b ? a : b;
}
template <typename Vector>
[[gnu::always_inline]] inline Vector smaller(Vector a, Vector b) {
  return a < b ? a : b;
}

// The lower halves of the lanes of both, as pairs of int16.
[[gnu::always_inline]] inline I32 join(I32 low, I32 high) { return (low & 0xFFFF) | (high << 16); }

constexpr std::int64_t round_up(std::int64_t value, std::int64_t multiple) {
  return (value + multiple - 1) / multiple * multiple;
}

}  // namespace tilewise::TILEWISE_SET
