// What declarations and checks of operations share.
#pragma once

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <span>
#include <string>

#include "base/check.h"
#include "program/program.h"

namespace tilewise {

inline constexpr std::int64_t kMaxKernel = 4096;
inline constexpr std::int64_t kMaxStep = 1024;  // strides and dilations
inline constexpr std::int64_t kMaxFactor = 256;
inline constexpr std::int64_t kMaxBlock = 4096;  // tiles

inline void check_range(const std::string& name, const std::string& what, std::int64_t value, std::int64_t low,
                        std::int64_t high) {
  if (value < low || value > high) refuse(name, ": ", what, " is ", value, ", must be ", low, "..", high);
}

inline void check_equal(const std::string& name, const std::string& what, std::int64_t value, std::int64_t expected,
                        const char* meaning) {
  if (value != expected) refuse(name, ": ", what, " is ", value, ", must be ", expected, ", ", meaning);
}

// Finite float32 numbers.
inline void check_finite(const std::string& name, const std::string& what, const Array& array) {
  const auto values = array.values<float>();
  for (std::size_t i = 0; i < values.size(); ++i) {
    if (!std::isfinite(values[i])) refuse(name, ": ", what, " holds ", values[i], " at position ", i, ", must be finite");
  }
}

// The same for weights that may be bf16, as uint16.
inline void check_finite_weights(const std::string& name, const std::string& what, const Array& array) {
  if (array.dtype == "float32") return check_finite(name, what, array);
  for (const std::uint16_t half : array.values<std::uint16_t>()) {
    const auto value = std::bit_cast<float>(static_cast<std::uint32_t>(half) << 16);
    if (!std::isfinite(value)) refuse(name, ": ", what, " holds ", value, ", must be finite");
  }
}

// The absolute values of each of `rows` rows of weights sum to `most` at most: sums fit int32 whatever is multiplied.
template <typename Weight>
void check_sums(const std::string& name, const char* what, std::span<const Weight> weights, std::size_t rows,
                std::int64_t most, const char* purpose = "to fit int32 accumulators") {
  const std::size_t length = rows == 0 ? 0 : weights.size() / rows;
  for (std::size_t row = 0; row < rows; ++row) {
    std::int64_t sum = 0;
    for (const Weight weight : weights.subspan(row * length, length)) sum += std::abs(std::int64_t{weight});
    if (sum > most) {
      refuse(name, ": the absolute values of ", what, " ", row, " sum to ", sum, ", must be at most ", most,
             " ", purpose);
    }
  }
}

// Finite, one number per channel.
inline void check_per_channel(const std::string& name, const std::string& what, const Array& array, std::int64_t channels) {
  check_equal(name, "the length of " + what, array.shape[0], channels, "the channels of y");
  check_finite(name, what, array);
}

inline void check_no_bf16(const std::string& name, const char* role, const TensorType& tensor) {
  if (tensor.dtype == Dtype::kBf16) refuse(name, ": ", role, " is bfloat16, must be uint8, int16 or float32");
}

inline void check_same_channels(const std::string& name, const TensorType& x, const TensorType& y) {
  check_equal(name, "the number of channels of y", y.channels, x.channels, "the channels of x");
}

// The largest |q| of a tensor, or for floats 0.
inline std::int64_t largest_q(const TensorType& x) {
  if (x.dtype == Dtype::kUint8) return 255;
  return x.dtype == Dtype::kInt16 ? std::max(-x.grid.low, x.grid.high) : 0;
}

}  // namespace tilewise
