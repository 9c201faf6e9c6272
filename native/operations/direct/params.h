#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "kernels/convolution.h"

namespace tilewise {

// Integers: y[k] = scale[k] * sum over window and channels of weight * q, x being kUint8 (q = byte - zero)
// for int8 weights and kInt16 for int16 ones. Floats: y[k] = sum of weight * x, x being kFloat32 or, for bf16
// weights, kBf16; scale is empty. With groups, output channel k reads the C / groups channels of its own group.
struct DirectConv {
  const TensorRef* x;
  const TensorRef* y;
  Window window;
  std::int64_t groups = 1;                     // divides C and K
  std::span<const std::int8_t> weight_int8;    // [K][height][width][C / groups], one of the four
  std::span<const std::int16_t> weight_int16;  // sum of abs(weight) * max abs(q) < 2^31 for every k
  std::span<const std::uint16_t> weight_bf16;
  std::span<const float> weight_f32;
  std::vector<float> scale;  // [K]
  bool ordered = false;      // float: round products and sums apart, so that every machine agrees
  Epilogue epilogue;
  SharedSlot shared = nullptr;

  std::int64_t group_channels() const { return x->channels / groups; }
  std::int64_t group_filters() const { return y->channels / groups; }
  bool is_depthwise() const { return groups > 1 && group_channels() == 1 && group_filters() == 1; }
};

}  // namespace tilewise
