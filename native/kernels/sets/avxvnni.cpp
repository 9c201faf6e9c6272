// x86-64 with AVX2, FMA and AVX-VNNI: current machines without AVX-512.
#include <cpuid.h>

#define TILEWISE_SET avxvnni
#define TILEWISE_SET_HEADER "kernels/sets/avxvnni.h"
#include "generated/bodies.inc"
#include "kernels/peak.h"
#include "kernels/training/kernels.h"

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
#include "generated/kernels.inc"
#undef TILEWISE_KERNEL
};

}  // namespace tilewise
