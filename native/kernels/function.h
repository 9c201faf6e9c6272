// Functions of one number that an operation can end with, by name (kernels/functions.h computes them).
#pragma once

#include <cstdint>
#include <span>

namespace tilewise {

enum class Function : std::uint8_t {
  none,
#define TILEWISE_FUNCTION(name, value) name,
#include "kernels/functions.inc"
#undef TILEWISE_FUNCTION
};

inline constexpr const char* kFunctions[] = {
    "",
#define TILEWISE_FUNCTION(name, value) #name,
#include "kernels/functions.inc"
#undef TILEWISE_FUNCTION
};

}  // namespace tilewise
