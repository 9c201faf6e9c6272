// x86-64 with AVX-512 (F, BW, VL, DQ) and VNNI, and the same with AMX-INT8: one file, so that the transforms of both are one.
#define TILEWISE_SET avx512vnni
#define TILEWISE_SET_HEADER "kernels/sets/vnni64.h"
#include "generated/bodies.inc"
#include "kernels/peak.h"
#include "kernels/sets/amx.h"
#include "kernels/training/kernels.h"

namespace tilewise {

namespace {

// Known when compiled: nothing of this file may run on machines that lack its instructions.
constexpr KernelSet kVectors = {
    "avx512vnni",
    "AVX-512 with VNNI: 64 bytes at once, four int8 products per lane and instruction",
    [] {
      return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
             __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512dq") &&
             __builtin_cpu_supports("avx512vnni") && __builtin_cpu_supports("fma");
    },
    avx512vnni::measure_peaks,
    avx512vnni::kTraining,
#define TILEWISE_KERNEL(name, Params) avx512vnni::make_##name,
#include "generated/kernels.inc"
#undef TILEWISE_KERNEL
};

constexpr KernelSet with_matrices(KernelSet set) {
  set.name = "amx";
  set.description = "AVX-512 with VNNI and AMX: matrices of 16 times 64 bytes in one instruction";
  set.supported = [] { return kVectors.supported() && avx512vnni::has_matrix_registers(); };
  set.measure_peaks = avx512vnni::measure_amx_peaks;
  set.direct_int8 = avx512vnni::make_direct_amx;
  set.fast_int8 = avx512vnni::make_fast_amx;
  return set;
}

}  // namespace

extern const KernelSet kAvx512vnni, kAmx;
constinit const KernelSet kAvx512vnni = kVectors;
constinit const KernelSet kAmx = with_matrices(kVectors);

}  // namespace tilewise
