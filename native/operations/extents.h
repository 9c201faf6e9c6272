// Sizes of what windows make.
#pragma once

#include <cstdint>
#include <string>

#include "base/check.h"
#include "program/operation.h"

namespace tilewise {

// Rows above and below, columns to the left and to the right.
struct Padding {
  std::int64_t sides[4] = {0, 0, 0, 0};

  std::int64_t top() const { return sides[0]; }
  std::int64_t left() const { return sides[2]; }
  std::int64_t height() const { return sides[0] + sides[1]; }
  std::int64_t width() const { return sides[2] + sides[3]; }
};

// How many windows that reach over `reach` pixels fit, `step` apart. Throws, naming the operation, if none does.
inline std::int64_t windows_along(const std::string& name, const char* axis, std::int64_t pixels, std::int64_t padding,
                                  std::int64_t reach, std::int64_t step) {
  if (pixels + padding < reach)
    refuse(name, ": the ", axis, " of its input is ", pixels, ", must be at least ", reach - padding);
  return (pixels + padding - reach) / step + 1;
}

}  // namespace tilewise
