// x86-64 with AVX-512 (F, BW, VL, DQ) and VNNI.
#define TILEWISE_SET avx512vnni
#include "kernels/sets/avx512.h"

namespace tilewise::TILEWISE_SET {

inline constexpr int kPanelVectors = 4, kByteRows = 6, kFloatRows = 6;  // 32 registers
inline constexpr bool kSignedRows = false;

[[gnu::always_inline]] inline I32 dot4(I32 sum, I32 a, I32 b) {
  return reinterpret_cast<I32>(_mm512_dpbusd_epi32(
      reinterpret_cast<__m512i>(sum), reinterpret_cast<__m512i>(a), reinterpret_cast<__m512i>(b)));
}
[[gnu::always_inline]] inline I32 dot2(I32 sum, I32 a, I32 b) {
  return reinterpret_cast<I32>(_mm512_dpwssd_epi32(
      reinterpret_cast<__m512i>(sum), reinterpret_cast<__m512i>(a), reinterpret_cast<__m512i>(b)));
}

}  // namespace tilewise::TILEWISE_SET

#include "kernels/sets/bodies.inc"

namespace tilewise {

extern const KernelSet kAvx512vnni;
const KernelSet kAvx512vnni = {
    "avx512vnni",
    "AVX-512 with VNNI: 64 bytes at once, four int8 products per lane and instruction",
    [] {
      return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
             __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512dq") &&
             __builtin_cpu_supports("avx512vnni") && __builtin_cpu_supports("fma");
    },
    avx512vnni::measure_peaks,
#define TILEWISE_KERNEL(name, Params) avx512vnni::make_##name,
#include "kernels/kernels.inc"
#undef TILEWISE_KERNEL
};

}  // namespace tilewise
