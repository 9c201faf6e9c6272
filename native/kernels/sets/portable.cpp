// Any machine: plain C++ on 16-byte vectors, which every 64-bit machine has.
#include <cstddef>

#define TILEWISE_SET portable
#define TILEWISE_VECTOR_BYTES 16
#include "kernels/bodies/simd.h"
// Needs the types of simd.h.
#include "kernels/bodies/plain.h"

namespace tilewise::TILEWISE_SET {
inline constexpr int kPanelVectors = 2;
}  // namespace tilewise::TILEWISE_SET

#include "kernels/sets/bodies.inc"

namespace tilewise {

extern const KernelSet kPortable;
const KernelSet kPortable = {
    "portable",
    "any machine: 16 bytes at once, no special instructions",
    [] { return true; },
    portable::measure_peaks,
#define TILEWISE_KERNEL(name, Params) portable::make_##name,
#include "kernels/kernels.inc"
#undef TILEWISE_KERNEL
};

}  // namespace tilewise
