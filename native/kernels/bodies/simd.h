// Vectors for the bodies of all kernel sets, by the compiler's own vector extension.
//
// A set's .cpp defines TILEWISE_SET (its namespace) and TILEWISE_VECTOR_BYTES, includes this file, adds the
// few operations that have no portable spelling (plain.h spells them out), and then includes the bodies.
// Everything lies in the set's namespace, so that code compiled for one machine is never linked into
// another's.
#pragma once

#include <cstdint>
#include <cstring>

namespace tilewise::TILEWISE_SET {

inline constexpr int kBytes = TILEWISE_VECTOR_BYTES;
inline constexpr int kLanes = kBytes / 4;  // of float and int32

using F32 [[gnu::vector_size(kBytes)]] = float;
using I32 [[gnu::vector_size(kBytes)]] = std::int32_t;
using I16 [[gnu::vector_size(kBytes)]] = std::int16_t;  // 2 * kLanes of them
using I8 [[gnu::vector_size(kBytes)]] = std::int8_t;    // 4 * kLanes of them
using F64 [[gnu::vector_size(kBytes * 2)]] = double;    // kLanes of them
using I64 [[gnu::vector_size(kBytes * 2)]] = std::int64_t;
using U8 [[gnu::vector_size(kBytes / 4)]] = std::uint8_t;      // kLanes of them
using U8Pair [[gnu::vector_size(kBytes / 2)]] = std::uint8_t;  // 2 * kLanes of them

template <typename Vector>
[[gnu::always_inline]] inline Vector load(const void* p) {
  Vector v;
  std::memcpy(&v, p, sizeof v);
  return v;
}

template <typename Vector>
[[gnu::always_inline]] inline void store(void* p, const Vector& v) {
  std::memcpy(p, &v, sizeof v);
}

[[gnu::always_inline]] inline F32 to_float(I32 v) { return __builtin_convertvector(v, F32); }
[[gnu::always_inline]] inline I32 load_bytes(const std::uint8_t* p) {
  return __builtin_convertvector(load<U8>(p), I32);
}

constexpr std::int64_t round_up(std::int64_t value, std::int64_t multiple) {
  return (value + multiple - 1) / multiple * multiple;
}

}  // namespace tilewise::TILEWISE_SET
