// What follows a sum: bias, residual, activation, quantization, memory (op.h, Epilogue). Needs simd.h,
// words.h and the set.
#pragma once

#include <algorithm>
#include <vector>

#include "kernels/op.h"

namespace tilewise::TILEWISE_SET {

// q = clamp(floor(y * factor + 0.5), low, high): clamped first, which is the same as the limits are integers.
struct Quantizer {
  F32 factor, low, high;
  I32 zero;

  explicit Quantizer(const Grid& grid)
      : factor(F32{} + grid.factor),
        low(F32{} + static_cast<float>(grid.low)),
        high(F32{} + static_cast<float>(grid.high)),
        zero(I32{} + grid.zero) {}

  // What is stored: q + zero.
  [[gnu::always_inline]] I32 operator()(F32 y) const {
    return floor_to_int(smaller(larger(y * factor + 0.5F, low), high)) + zero;
  }
};

// kLanes channels of one pixel of a tensor as real numbers.
class Reader {
 public:
  explicit Reader(const TensorRef& x) : tensor_(x) {}

  [[gnu::always_inline]] F32 operator()(std::int64_t pixel, std::int64_t channel) const {
    const std::int64_t at = pixel * tensor_.stride + channel;
    if (tensor_.dtype == Dtype::kFloat32) return load<F32>(reinterpret_cast<const float*>(tensor_.data) + at);
    if (tensor_.dtype == Dtype::kInt16) return words(at);
    const I32 bytes = load_bytes(reinterpret_cast<const std::uint8_t*>(tensor_.data) + at);
    return to_float(bytes - tensor_.grid.zero) * tensor_.grid.step;
  }

 private:
  // The rarer type, out of line: the call above is copied to every output of every unrolled transform.
  [[gnu::noinline]] F32 words(std::int64_t at) const {
    const auto steps = load<Words>(reinterpret_cast<const std::int16_t*>(tensor_.data) + at);
    return __builtin_convertvector(steps, F32) * tensor_.grid.step;
  }

  TensorRef tensor_;
};

// Finishes kLanes sums of one output pixel and writes them.
class Finish {
 public:
  Finish(const Epilogue& epilogue, const TensorRef& y)
      : y_(y),
        quantizer_(y.grid),
        residual_(epilogue.residual ? *epilogue.residual : y),
        has_residual_(epilogue.residual != nullptr),
        bias_(epilogue.bias),
        low_(F32{} + epilogue.low),
        high_(F32{} + epilogue.high) {
    bias_.resize(static_cast<std::size_t>(y.stride), 0.0F);
  }

  [[gnu::always_inline]] void operator()(F32 sum, std::int64_t pixel, std::int64_t channel) const {
    F32 y = sum + load<F32>(bias_.data() + channel);
    if (has_residual_) y = y + residual_(pixel, channel);
    y = smaller(larger(y, low_), high_);
    const std::int64_t at = pixel * y_.stride + channel;
    switch (y_.dtype) {
      case Dtype::kFloat32: return store(reinterpret_cast<float*>(y_.data) + at, y);
      case Dtype::kUint8: return store(reinterpret_cast<std::uint8_t*>(y_.data) + at, narrow(quantizer_(y)));
      case Dtype::kInt16: return store_words(at, narrow_to_words(quantizer_(y)));
      case Dtype::kBf16: return store_words(at, to_bf16(y));
    }
  }

 private:
  // Out of line as in Reader.
  [[gnu::noinline]] void store_words(std::int64_t at, Words words) const {
    store(reinterpret_cast<std::int16_t*>(y_.data) + at, words);
  }

  TensorRef y_;
  Quantizer quantizer_;
  Reader residual_;
  bool has_residual_;
  std::vector<float> bias_;  // one per lane of a pixel
  F32 low_, high_;
};

}  // namespace tilewise::TILEWISE_SET
