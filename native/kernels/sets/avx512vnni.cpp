// x86-64 with AVX-512 (F, BW, VL, DQ) and VNNI. Like avx512bf16.cpp built with those instructions: see
// CMakeLists.txt.
#define TILEWISE_SET avx512vnni
#include "kernels/sets/avx512.h"

#include "kernels/sets/bodies.inc"

namespace tilewise {

namespace avx512bf16 {  // avx512bf16.cpp
std::unique_ptr<Op> make_direct_bf16_kernel(const DirectConv& conv);
std::unique_ptr<Op> make_fast_bf16_kernel(const FastConv& conv);
}  // namespace avx512bf16

namespace {

bool supported() {
  return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
         __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512dq") &&
         __builtin_cpu_supports("avx512vnni") && __builtin_cpu_supports("fma");
}

// Machines with the instruction for bf16 products use it.
KernelSet with_bf16(KernelSet set) {
  __builtin_cpu_init();
  if (__builtin_cpu_supports("avx512bf16")) {
    set.direct_bf16 = avx512bf16::make_direct_bf16_kernel;
    set.fast_bf16 = avx512bf16::make_fast_bf16_kernel;
  }
  return set;
}

}  // namespace

extern const KernelSet kAvx512vnni;
const KernelSet kAvx512vnni = with_bf16({
    "avx512vnni",
    "AVX-512 with VNNI: 64 bytes at once, four int8 products per lane and instruction",
    supported,
    avx512vnni::measure_peaks,
#define TILEWISE_KERNEL(name, Params) avx512vnni::make_##name,
#include "kernels/kernels.inc"
#undef TILEWISE_KERNEL
});

}  // namespace tilewise
