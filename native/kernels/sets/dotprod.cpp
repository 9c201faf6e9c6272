// aarch64 with the dot products of Armv8.2: signed bytes with signed bytes only.
#define TILEWISE_SET dotprod
#include "kernels/sets/neon.h"

namespace tilewise::TILEWISE_SET {

inline constexpr int kPanelVectors = 4, kByteRows = 6, kFloatRows = 6;  // 32 registers
inline constexpr bool kSignedRows = true;

[[gnu::always_inline]] inline I32 dot4(I32 sum, I32 a, I32 b) {
  return reinterpret_cast<I32>(vdotq_s32(reinterpret_cast<int32x4_t>(sum), reinterpret_cast<int8x16_t>(a),
                                         reinterpret_cast<int8x16_t>(b)));
}

}  // namespace tilewise::TILEWISE_SET

#include "kernels/sets/bodies.inc"

namespace tilewise {

extern const KernelSet kDotprod;
const KernelSet kDotprod = {
    "dotprod",
    "Armv8.2 dot products: 16 bytes at once, four int8 products per lane and instruction",
    [] { return (getauxval(AT_HWCAP) & HWCAP_ASIMDDP) != 0; },
    dotprod::measure_peaks,
    dotprod::kTraining,
#define TILEWISE_KERNEL(name, Params) dotprod::make_##name,
#include "kernels/kernels.inc"
#undef TILEWISE_KERNEL
};

}  // namespace tilewise
