// x86-64 with AVX2, FMA and AVX-VNNI: current machines without AVX-512.
#include <cpuid.h>

#define TILEWISE_SET avxvnni
#include "kernels/sets/avx2.h"

namespace tilewise::TILEWISE_SET {

inline constexpr int kPanelVectors = 2, kByteRows = 6, kFloatRows = 6;  // 16 registers
inline constexpr bool kSignedRows = false;

[[gnu::always_inline]] inline I32 dot4(I32 sum, I32 a, I32 b) {
  return reinterpret_cast<I32>(_mm256_dpbusd_avx_epi32(
      reinterpret_cast<__m256i>(sum), reinterpret_cast<__m256i>(a), reinterpret_cast<__m256i>(b)));
}
[[gnu::always_inline]] inline I32 dot2(I32 sum, I32 a, I32 b) {
  return reinterpret_cast<I32>(_mm256_dpwssd_avx_epi32(
      reinterpret_cast<__m256i>(sum), reinterpret_cast<__m256i>(a), reinterpret_cast<__m256i>(b)));
}

}  // namespace tilewise::TILEWISE_SET

#include "kernels/sets/bodies.inc"

namespace tilewise {

namespace {

// Asked by hand, as older compilers' __builtin_cpu_supports does not know it.
bool has_avxvnni() {
  unsigned eax = 0, ebx = 0, ecx = 0, edx = 0;
  return __get_cpuid_count(7, 1, &eax, &ebx, &ecx, &edx) != 0 && (eax >> 4 & 1) != 0;
}

}  // namespace

extern const KernelSet kAvxvnni;
const KernelSet kAvxvnni = {
    "avxvnni",
    "AVX2 with AVX-VNNI: 32 bytes at once, four int8 products per lane and instruction",
    [] { return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") && has_avxvnni(); },
    avxvnni::measure_peaks,
    avxvnni::kTraining,
#define TILEWISE_KERNEL(name, Params) avxvnni::make_##name,
#include "kernels/kernels.inc"
#undef TILEWISE_KERNEL
};

}  // namespace tilewise
