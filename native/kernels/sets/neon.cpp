// Any aarch64.
#define TILEWISE_SET neon
#define TILEWISE_SET_HEADER "kernels/sets/neon.h"
#include "generated/bodies.inc"
#include "kernels/peak.h"
#include "kernels/training/kernels.h"

namespace tilewise {

extern const KernelSet kNeon;
const KernelSet kNeon = {
    "neon",
    "any aarch64: 16 bytes at once, int8 products as int16",
    [] { return true; },
    neon::measure_peaks,
    neon::kTraining,
#define TILEWISE_KERNEL(name, Params) neon::make_##name,
#include "generated/kernels.inc"
#undef TILEWISE_KERNEL
};

}  // namespace tilewise
