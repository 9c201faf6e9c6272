// aarch64 with the int8 matrix extension of Armv8.6, which has dot products of unsigned with signed bytes.
#define TILEWISE_SET i8mm
#include "kernels/sets/neon.h"

namespace tilewise::TILEWISE_SET {

inline constexpr int kPanelVectors = 4, kByteRows = 6, kFloatRows = 6;  // 32 registers
inline constexpr bool kSignedRows = false;

[[gnu::always_inline]] inline I32 dot4(I32 sum, I32 a, I32 b) {
  return reinterpret_cast<I32>(vusdotq_s32(reinterpret_cast<int32x4_t>(sum), reinterpret_cast<uint8x16_t>(a),
                                           reinterpret_cast<int8x16_t>(b)));
}

}  // namespace tilewise::TILEWISE_SET

#include "kernels/sets/bodies.inc"

namespace tilewise {

extern const KernelSet kI8mm;
const KernelSet kI8mm = {
    "i8mm",
    "Armv8.6 int8 matrix extension: 16 bytes at once, four int8 products per lane and instruction",
    [] { return (getauxval(AT_HWCAP2) & HWCAP2_I8MM) != 0; },
    i8mm::measure_peaks,
    i8mm::kTraining,
#define TILEWISE_KERNEL(name, Params) i8mm::make_##name,
#include "kernels/kernels.inc"
#undef TILEWISE_KERNEL
};

}  // namespace tilewise
