// aarch64 with the dot products of Armv8.2: signed bytes with signed bytes only.
#define TILEWISE_SET dotprod
#define TILEWISE_SET_HEADER "kernels/sets/dotprod.h"
#include "generated/bodies.inc"
#include "kernels/peak.h"
#include "kernels/training/kernels.h"

namespace tilewise {

extern const KernelSet kDotprod;
const KernelSet kDotprod = {
    "dotprod",
    "Armv8.2 dot products: 16 bytes at once, four int8 products per lane and instruction",
    [] { return (getauxval(AT_HWCAP) & HWCAP_ASIMDDP) != 0; },
    dotprod::measure_peaks,
    dotprod::kTraining,
#define TILEWISE_KERNEL(name, Params) dotprod::make_##name,
#include "generated/kernels.inc"
#undef TILEWISE_KERNEL
};

}  // namespace tilewise
