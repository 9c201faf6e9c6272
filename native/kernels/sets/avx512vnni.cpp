// x86-64 with AVX-512 (F, BW, VL, DQ) and VNNI, and the same with AMX-INT8: one file, so that the transforms of both are one.
#define TILEWISE_SET avx512vnni
#define TILEWISE_SET_HEADER "kernels/sets/vnni64.h"
#include "generated/bodies.inc"
#include "kernels/peak.h"
#include "kernels/sets/amx.h"
#include "kernels/training/kernels.h"

namespace tilewise {
namespace avx512vnni {

// With fewer channels most of a register would be zeros.
inline bool fills_registers(std::int64_t groups, const TensorRef& x, const TensorRef& y) {
  return slices_of(groups, y.channels, x.channels).channels >= AmxDot::kDepth * AmxDot::kGroup / 2;
}

inline std::unique_ptr<Op> make_direct_amx(const DirectConv& conv) {
  if (conv.is_depthwise() || !fills_registers(conv.groups, *conv.x, *conv.y)) return make_direct_int8(conv);
  return std::make_unique<DirectOp<AmxDot>>(conv, conv.weight_int8.data());
}

inline std::unique_ptr<Op> make_fast_amx(const FastConv& conv) {
  if (!fills_registers(conv.groups, *conv.x, *conv.y)) return make_fast_int8(conv);
  return fast_op<AmxDot, std::uint8_t>(conv, conv.u_int8.data(), [&] { return byte_input_for(conv); });
}

}  // namespace avx512vnni

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
