// What the parameters of convolutions share (docs/contracts/numbers.md fixes the arithmetic).
#pragma once

#include <cstdint>
#include <limits>
#include <memory>
#include <vector>

#include "kernels/function.h"
#include "kernels/tensor.h"

namespace tilewise {

inline constexpr std::int64_t kMaxTransform = 26;  // largest n, m and t of an algorithm: SFC12(10, 7)
inline constexpr std::int64_t kMaxTaps = kMaxTransform * kMaxTransform;

// What happens between the sum of a convolution (or an element-wise operation) and memory, per channel k:
//   y = sum + bias[k];  y = y + residual;  y = function(y);  y = y > 0 ? y : y * slope[k];
//   y = min(max(y, low), high);  store y, or clamp(floor(y * factor + 0.5)).
struct Epilogue {
  std::vector<float> bias;              // one per channel
  const TensorRef* residual = nullptr;  // same height, width and channels as the output
  Function function = Function::none;   // none leaves y as it is
  std::vector<float> slope;             // one per channel, or none: 1 for all
  float low = -std::numeric_limits<float>::infinity();
  float high = std::numeric_limits<float>::infinity();
};

// Where the window of an output pixel lies: rows i*stride - pad + k*dilation.
struct Window {
  std::int64_t height = 1, width = 1;
  std::int64_t stride_h = 1, stride_w = 1;
  std::int64_t pad_top = 0, pad_left = 0;
  std::int64_t dilation_h = 1, dilation_w = 1;
};

// What all sizes of one layer share: packed weights and tables. Who makes an operation for several sizes keeps a slot
// for it; the first size fills it, from the weights, which later ones do not look at. Null: nothing is shared.
using SharedSlot = std::shared_ptr<const void>*;

// What the slot holds, made first if it holds nothing yet.
template <class State, typename Make>
std::shared_ptr<const State> shared_state(SharedSlot slot, const Make& make) {
  if (slot != nullptr && *slot != nullptr) return std::static_pointer_cast<const State>(*slot);
  std::shared_ptr<const State> state = make();
  if (slot != nullptr) *slot = state;
  return state;
}

}  // namespace tilewise
