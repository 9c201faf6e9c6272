// Convolutions with random numbers, for the tests of all kernel sets: memory with guard bands, and the
// parameters.
#pragma once

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <optional>
#include <random>
#include <string>
#include <vector>

#include "kernels/op.h"

namespace tilewise::testing {

using Random = std::mt19937;

// A tensor of several images between guard bands, filled with a pattern.
class Memory {
 public:
  Memory(const TensorRef& like, std::int64_t images, unsigned char fill)
      : tensor(like),
        bytes_(kGuard * 2 + kSlack + like.image_bytes() * static_cast<std::size_t>(images)),
        used_(like.image_bytes() * static_cast<std::size_t>(images)),
        values_(bytes_ + kAlignment) {
    void* start = values_.data();
    std::size_t room = values_.size();
    start_ = static_cast<std::byte*>(std::align(kAlignment, bytes_, start, room));
    std::memset(start_, kPattern, bytes_);
    tensor.data = start_ + kGuard;
    std::memset(tensor.data, fill, used_);
  }

  bool guards_intact() const {
    for (std::size_t i = 0; i < bytes_; ++i) {
      const bool inside = i >= kGuard && i < kGuard + used_;
      if (!inside && std::to_integer<int>(start_[i]) != kPattern) return false;
    }
    return true;
  }
  std::vector<std::byte> contents() const { return {tensor.data, tensor.data + used_}; }

  TensorRef tensor;

 private:
  static constexpr std::size_t kGuard = 256;
  static constexpr int kPattern = 0xA5;
  std::size_t bytes_, used_;
  std::vector<std::byte> values_;
  std::byte* start_;
};

inline TensorRef tensor(Dtype dtype, std::int64_t height, std::int64_t width, std::int64_t channels,
                        bool is_signed, std::int64_t multiple = 16) {
  TensorRef t;
  t.dtype = dtype;
  t.height = height, t.width = width, t.channels = channels;
  t.stride = (channels + multiple - 1) / multiple * multiple;
  if (dtype == Dtype::kUint8) {
    const float step = is_signed ? 0.04F : 0.02F;
    t.grid = is_signed ? QuantGrid{step, 1 / step, -127, 127, 128} : QuantGrid{step, 1 / step, 0, 255, 0};
  }
  if (dtype == Dtype::kInt16) {
    const float step = is_signed ? 0.0025F : 0.00125F;
    t.grid = is_signed ? QuantGrid{step, 1 / step, -2047, 2047, 0} : QuantGrid{step, 1 / step, 0, 4095, 0};
  }
  return t;
}

// What the input holds.
enum class Fill { kRandom, kLowest, kHighest, kAlternating };
inline constexpr Fill kFills[] = {Fill::kRandom, Fill::kLowest, Fill::kHighest, Fill::kAlternating};

// The nearest of the two floats next to `value` with nothing in their lower halves; in the middle the even
// one.
inline std::uint16_t bf16(float value) {
  const auto bits = std::bit_cast<std::uint32_t>(value);
  const std::uint32_t below = bits >> 16, rest = bits & 0xFFFF;
  return static_cast<std::uint16_t>(below + (rest > 0x8000 || (rest == 0x8000 && below % 2 == 1) ? 1 : 0));
}
inline std::vector<std::uint16_t> bf16s(const std::vector<float>& values) {
  std::vector<std::uint16_t> halves;
  for (const float value : values) halves.push_back(bf16(value));
  return halves;
}

inline void fill(Memory& memory, std::int64_t images, Fill kind, Random& random) {
  TensorRef& t = memory.tensor;
  for (std::int64_t i = 0; i < images * t.pixels() * t.stride; ++i) {
    const bool up = kind == Fill::kHighest || (kind == Fill::kAlternating && (i / t.stride + i) % 2 == 0);
    if (t.dtype == Dtype::kFloat32) {
      const float extreme = up ? 3.0F : -3.0F;
      reinterpret_cast<float*>(t.data)[i] = i % t.stride >= t.channels ? 0.0F
                                            : kind == Fill::kRandom
                                                ? std::normal_distribution<float>()(random)
                                                : extreme;
    } else if (t.dtype == Dtype::kBf16) {
      const float value = kind == Fill::kRandom ? std::normal_distribution<float>()(random)
                          : up                  ? 3.0F
                                                : -3.0F;
      reinterpret_cast<std::uint16_t*>(t.data)[i] =
          i % t.stride >= t.channels ? std::uint16_t{0} : bf16(value);
    } else if (t.dtype == Dtype::kInt16) {
      const int q = kind == Fill::kRandom
                        ? std::uniform_int_distribution<int>(t.grid.low, t.grid.high)(random)
                        : (up ? t.grid.high : t.grid.low);
      reinterpret_cast<std::int16_t*>(t.data)[i] =
          static_cast<std::int16_t>(i % t.stride >= t.channels ? 0 : q);
    } else {
      // Every byte is allowed, -128 included; lanes beyond the channels hold the zero point.
      const int extreme = up ? t.grid.high : t.grid.zero ? -128 : t.grid.low;
      const int q = kind == Fill::kRandom
                        ? std::uniform_int_distribution<int>(t.grid.low, t.grid.high)(random)
                        : extreme;
      t.data[i] = static_cast<std::byte>((i % t.stride >= t.channels ? 0 : q) + t.grid.zero);
    }
  }
}

inline std::vector<std::int8_t> int8s(std::size_t count, Fill kind, Random& random) {
  std::vector<std::int8_t> values(count);
  for (std::size_t i = 0; i < count; ++i) {
    const int extreme = kind == Fill::kHighest || (kind == Fill::kAlternating && i % 2 == 0) ? 127 : -128;
    values[i] = static_cast<std::int8_t>(
        kind == Fill::kRandom ? std::uniform_int_distribution<int>(-127, 127)(random) : extreme);
  }
  return values;
}

// Up to `largest`, which keeps sums within int32.
inline std::vector<std::int16_t> int16s(std::size_t count, std::int64_t largest, Fill kind, Random& random) {
  std::vector<std::int16_t> values(count);
  const int most = static_cast<int>(std::min<std::int64_t>(largest, 32767));
  for (std::size_t i = 0; i < count; ++i) {
    const int extreme = kind == Fill::kHighest || (kind == Fill::kAlternating && i % 2 == 0) ? most : -most;
    values[i] = static_cast<std::int16_t>(
        kind == Fill::kRandom ? std::uniform_int_distribution<int>(-most, most)(random) : extreme);
  }
  return values;
}

inline std::vector<float> floats(std::size_t count, float scale, Random& random) {
  std::vector<float> values(count);
  for (float& v : values) v = scale * std::normal_distribution<float>()(random);
  return values;
}

inline std::vector<float> floats_of(const std::vector<std::byte>& bytes, Dtype dtype) {
  const auto size = static_cast<std::size_t>(bytes_of(dtype));
  std::vector<float> values;
  for (std::size_t i = 0; i < bytes.size(); i += size) {
    std::uint32_t bits = 0;  // of bf16 the upper half
    std::memcpy(reinterpret_cast<std::byte*>(&bits) + (4 - size), bytes.data() + i, size);
    values.push_back(std::bit_cast<float>(bits));
  }
  return values;
}

// How far apart two float results are, relative to the largest value.
inline double distance(const std::vector<std::byte>& a, const std::vector<std::byte>& b, Dtype dtype) {
  const std::vector<float> first = floats_of(a, dtype), second = floats_of(b, dtype);
  double largest = 1, difference = 0;
  for (std::size_t i = 0; i < first.size(); ++i) {
    const auto u = static_cast<double>(first[i]), v = static_cast<double>(second[i]);
    if (!std::isfinite(u) || !std::isfinite(v)) return 1e30;
    largest = std::max(largest, std::abs(u));
    difference = std::max(difference, std::abs(u - v));
  }
  return difference / largest;
}

// -0 and +0 are equal, so floats are compared by value, integers byte by byte.
inline bool same(const std::vector<std::byte>& a, const std::vector<std::byte>& b, Dtype dtype) {
  return dtype == Dtype::kFloat32 || dtype == Dtype::kBf16 ? distance(a, b, dtype) == 0 : a == b;
}

}  // namespace tilewise::testing
