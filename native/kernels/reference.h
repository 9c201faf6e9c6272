// What the reference operations share: convolutions as plainly as docs/contracts/numbers.md says them, value by value.
#pragma once

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstddef>
#include <memory>
#include <span>
#include <vector>

#include "kernels/convolution.h"
#include "kernels/format.h"
#include "kernels/functions.h"
#include "kernels/op.h"

namespace tilewise::reference {

inline std::size_t offset(const TensorRef& x, std::int64_t image, std::int64_t row, std::int64_t col,
                   std::int64_t channel) {
  return static_cast<std::size_t>(((image * x.height + row) * x.width + col) * x.stride + channel);
}

// The float whose upper half a bf16 number is.
inline float widened(std::uint16_t half) { return std::bit_cast<float>(static_cast<std::uint32_t>(half) << 16); }

inline std::vector<float> widened(std::span<const std::uint16_t> halves) {
  std::vector<float> floats;
  for (const std::uint16_t half : halves) floats.push_back(widened(half));
  return floats;
}

// q of an integer tensor.
inline int steps(const TensorRef& x, std::size_t at) {
  if (x.dtype == Dtype::kInt16) return reinterpret_cast<const std::int16_t*>(x.data)[at];
  return std::to_integer<int>(x.data[at]) - x.grid.zero;
}

// The value in steps of the grid (integers) or the real value (float); zero outside the image.
inline double value(const TensorRef& x, std::int64_t image, std::int64_t row, std::int64_t col,
             std::int64_t channel) {
  if (row < 0 || row >= x.height || col < 0 || col >= x.width) return 0;
  const std::size_t at = offset(x, image, row, col, channel);
  if (x.dtype == Dtype::kFloat32) return static_cast<double>(reinterpret_cast<const float*>(x.data)[at]);
  if (x.dtype == Dtype::kBf16)
    return static_cast<double>(widened(reinterpret_cast<const std::uint16_t*>(x.data)[at]));
  return steps(x, at);
}

inline float real(const TensorRef& x, std::size_t at) {
  if (x.dtype == Dtype::kFloat32) return reinterpret_cast<const float*>(x.data)[at];
  return static_cast<float>(steps(x, at)) * x.grid.step;
}

inline void finish(const Epilogue& epilogue, const TensorRef& y, float sum, std::int64_t image, std::int64_t row,
            std::int64_t col, std::int64_t channel) {
  const std::size_t at = offset(y, image, row, col, channel);
  float v = sum + (channel < y.channels ? epilogue.bias[static_cast<std::size_t>(channel)] : 0.0F);
  if (epilogue.residual) v = v + real(*epilogue.residual, at);
  if (channel < y.channels) apply(epilogue.function, &v, 1);
  if (!epilogue.slope.empty() && channel < y.channels && !(v > 0)) v = v * epilogue.slope[static_cast<std::size_t>(channel)];
  v = std::min(std::max(epilogue.low, v), epilogue.high);  // the lower limit where v is no number
  if (y.dtype == Dtype::kFloat32) {
    reinterpret_cast<float*>(y.data)[at] = v;
    return;
  }
  if (y.dtype == Dtype::kBf16) {
    reinterpret_cast<std::uint16_t*>(y.data)[at] = Bf16Format().store(v);
    return;
  }
  const float q = std::clamp(std::floor(v * y.grid.factor + 0.5F), static_cast<float>(y.grid.low),
                             static_cast<float>(y.grid.high));
  if (y.dtype == Dtype::kInt16) {
    reinterpret_cast<std::int16_t*>(y.data)[at] = static_cast<std::int16_t>(q);
  } else {
    y.data[at] = static_cast<std::byte>(static_cast<int>(q) + y.grid.zero);
  }
}

// Weights as they are, for all sizes of a layer.
template <typename Weight>
std::shared_ptr<const std::vector<Weight>> kept(SharedSlot slot, std::span<const Weight> weights) {
  return shared_state<std::vector<Weight>>(
      slot, [&] { return std::make_shared<std::vector<Weight>>(weights.begin(), weights.end()); });
}

// Runs image by image; keeps its tensors, and the residual's, by value.
template <typename Conv>
class ImageOp : public Op {
 public:
  explicit ImageOp(const Conv& conv) : conv_(conv), x_(*conv.x), y_(*conv.y) {
    if (conv.epilogue.residual) {
      residual_ = *conv.epilogue.residual;
      conv_.epilogue.residual = &residual_;
    }
  }
  std::int64_t tasks(const Call& call) const override { return call.images; }
  void run(const Call&, std::int64_t begin, std::int64_t end, std::byte*, StageSeconds*) const override {
    for (std::int64_t image = begin; image < end; ++image) convolve(image);
  }

 protected:
  virtual void convolve(std::int64_t image) const = 0;
  Conv conv_;
  TensorRef x_, y_, residual_;
};

}  // namespace tilewise::reference
