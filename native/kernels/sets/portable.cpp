// Any machine: plain C++ on 16-byte vectors, which every 64-bit machine has.
#define TILEWISE_SET portable
#define TILEWISE_SET_HEADER "kernels/sets/portable.h"
#include "generated/bodies.inc"
#include "kernels/peak.h"
#include "kernels/training/kernels.h"

namespace tilewise {

extern const KernelSet kPortable;
const KernelSet kPortable = {
    "portable",
    "any machine: 16 bytes at once, no special instructions",
    [] { return true; },
    portable::measure_peaks,
    portable::kTraining,
#define TILEWISE_KERNEL(name, Params) portable::make_##name,
#include "generated/kernels.inc"
#undef TILEWISE_KERNEL
};

}  // namespace tilewise
