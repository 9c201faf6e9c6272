// What is needed on vectors of doubles, the same for every set.
#pragma once

#include "kernels/this_set.h"

namespace tilewise::TILEWISE_SET {

[[gnu::always_inline]] inline I32 floor_to_int(F64 v) {
  const I64 truncated = __builtin_convertvector(v, I64);
  return __builtin_convertvector(truncated + (__builtin_convertvector(truncated, F64) > v), I32);
}

}  // namespace tilewise::TILEWISE_SET
