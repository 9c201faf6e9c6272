// The operations of this build: each folder's operation.cpp defines make_<folder>_operation().
#pragma once

#include <memory>

#include "kernels/set.h"
#include "program/operation.h"

namespace tilewise {

#define TILEWISE_OPERATION(name) std::unique_ptr<Operation> make_##name##_operation();
#include "generated/list.inc"
#undef TILEWISE_OPERATION

}  // namespace tilewise
