// aarch64 with the int8 matrix extension of Armv8.6, which has dot products of unsigned with signed bytes.
#define TILEWISE_SET i8mm
#define TILEWISE_SET_HEADER "kernels/sets/i8mm.h"
#include "generated/bodies.inc"
#include "kernels/peak.h"
#include "kernels/training/kernels.h"

namespace tilewise {

extern const KernelSet kI8mm;
const KernelSet kI8mm = {
    "i8mm",
    "Armv8.6 int8 matrix extension: 16 bytes at once, four int8 products per lane and instruction",
    [] { return (getauxval(AT_HWCAP2) & HWCAP2_I8MM) != 0; },
    i8mm::measure_peaks,
    i8mm::kTraining,
#define TILEWISE_KERNEL(name, Params) i8mm::make_##name,
#include "generated/kernels.inc"
#undef TILEWISE_KERNEL
};

}  // namespace tilewise
