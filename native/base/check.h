// Refusals: every bad input ends in one exception that names the value and what is allowed.
#pragma once

#include <cstdint>
#include <limits>
#include <sstream>
#include <stdexcept>

namespace tilewise {

// refuse("padding is ", p, ", must be 0 or more") throws std::invalid_argument with that text.
template <typename Error = std::invalid_argument, typename... Parts>
[[noreturn]] void refuse(const Parts&... parts) {
  std::ostringstream text;
  (text << ... << parts);
  throw Error(text.str());
}

inline std::int32_t int32(const char* name, std::int64_t value) {
  using Limits = std::numeric_limits<std::int32_t>;
  if (value < Limits::min() || value > Limits::max()) refuse(name, " is ", value, ", must fit int32");
  return static_cast<std::int32_t>(value);
}

// No tensor has more elements than this; its bytes then fit std::ptrdiff_t whatever its element type.
inline constexpr std::int64_t kMaxElements = std::int64_t{1} << 59;

// Number of elements of a shape, which must have no negative extent.
template <typename Shape>
std::int64_t element_count(const Shape& shape) {
  std::int64_t count = 1;
  for (const std::int64_t extent : shape) {
    if (extent != 0 && count > kMaxElements / extent) {
      refuse("a tensor with an extent of ", extent, " would have more than 2^59 elements");
    }
    count *= extent;
  }
  return count;
}

}  // namespace tilewise
