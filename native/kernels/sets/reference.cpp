// What every other set must equal. Slow. Operations without a reference of their own have one body for all sets.
#define TILEWISE_SET reference
#include "generated/references.inc"
#include "kernels/set.h"

namespace tilewise {

extern const KernelSet kReference;
const KernelSet kReference = {
    "reference",
    "any machine: the specification, value by value; for checking, not for speed",
    [] { return true; },
    [] { return Peaks{}; },
    {},
#define TILEWISE_KERNEL(name, Params) reference::make_##name,
#include "generated/kernels.inc"
#undef TILEWISE_KERNEL
};

}  // namespace tilewise
