// What follows a sum: bias, residual, activation, quantization, memory (op.h, Epilogue). Needs simd.h,
// words.h and the set.
#pragma once

#include <algorithm>
#include <cmath>
#include <type_traits>

#include "base/aligned.h"
#include "kernels/convolution.h"
#include "kernels/functions.h"
#include "kernels/op.h"
#include "kernels/this_set.h"
#include "kernels/words.h"

namespace tilewise::TILEWISE_SET {

// q = clamp(floor(y * factor + 0.5), low, high), zero added. Clamped first, which is the same as the limits
// are integers; for the same reason the limits of an activation are clamped to here: rounding is monotone.
struct Quantizer {
  F32 factor, low, high;
  std::int32_t zero;
  bool reaches_zero;  // the lowest number is stored as byte 0

  Quantizer(const QuantGrid& grid, float activation_low, float activation_high)
      : factor(F32{} + grid.factor), zero(grid.zero) {
    const auto limit = [&](float y) {
      const float steps = std::floor(y * grid.factor + 0.5F);
      return F32{} + std::clamp(steps, static_cast<float>(grid.low), static_cast<float>(grid.high));
    };
    low = limit(activation_low), high = limit(activation_high);
    reaches_zero = static_cast<std::int32_t>(low[0]) == -zero;
  }

  [[gnu::always_inline]] I32 operator()(F32 y) const {
    return floor_to_int(smaller(larger(y * factor + 0.5F, low), high));
  }
  // Where kFloorSaturates, for what is packed: it saturates below. `high` first, so that what is no number stays none.
  [[gnu::always_inline]] I32 from_above(F32 y) const { return floor_to_int(smaller(high, y * factor + 0.5F)); }
};

// Stores steps, `zero` added, as bytes. Vectors that are packed together saturate at 0: theirs may lie below.
template <int Vectors>
[[gnu::always_inline]] inline void store_bytes(std::uint8_t* to, const I32 (&steps)[Vectors],
                                               std::int32_t zero) {
  const I16 zeros = I16{} + static_cast<std::int16_t>(zero);
  if constexpr (Vectors == 4) {
    store(to, gather_quads(pack_bytes(pack(steps[0], steps[1]) + zeros, pack(steps[2], steps[3]) + zeros)));
  } else if constexpr (Vectors >= 2) {
    const I16 words = pack(steps[0], steps[1]) + zeros;
    const I8 twice = gather_quads(pack_bytes(words, words));
    U8Pair once;
    std::memcpy(&once, &twice, sizeof once);
    store(to, once);
  }
  if constexpr (Vectors % 2 == 1) store(to + (Vectors - 1) * kLanes, narrow(steps[Vectors - 1] + zero));
}

// kLanes channels of one pixel of a tensor as real numbers.
class Reader {
 public:
  explicit Reader(const TensorRef& x) : tensor_(x) {}

  const TensorRef& tensor() const { return tensor_; }

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

// The end of most layers: sums of one output pixel, Vectors vectors of channels, become bytes, after a residual of bytes
// or none. A copy of all that it needs: bytes that are written may be anything's, so a loop would read constants again
// for each pixel if they lay in memory.
template <int Vectors, bool kResidual, bool kSaturates>
class ByteEnding {
 public:
  ByteEnding(const TensorRef& y, const Quantizer& quantizer, const TensorRef& residual, const float* bias,
             std::int64_t channel)
      : quantizer_(quantizer),
        to_(reinterpret_cast<std::uint8_t*>(y.data) + channel),
        from_(reinterpret_cast<const std::uint8_t*>(residual.data) + channel),
        to_stride_(y.stride),
        from_stride_(residual.stride),
        from_zero_(residual.grid.zero),
        from_step_(residual.grid.step) {
#pragma GCC unroll 4
    for (int i = 0; i < Vectors; ++i) bias_[i] = load<F32>(bias + channel + i * kLanes);
  }

  [[gnu::always_inline]] void operator()(const F32* sums, std::int64_t pixel) const {
    I32 steps[Vectors];
#pragma GCC unroll 4
    for (int i = 0; i < Vectors; ++i) {
      F32 y = sums[i] + bias_[i];
      if constexpr (kResidual)
        y = y + to_float(load_bytes(from_ + pixel * from_stride_ + i * kLanes) - from_zero_) * from_step_;
      steps[i] = kSaturates && i < Vectors / 2 * 2 ? quantizer_.from_above(y) : quantizer_(y);
    }
    store_bytes(to_ + pixel * to_stride_, steps, quantizer_.zero);
  }

 private:
  Quantizer quantizer_;
  std::uint8_t* to_;
  const std::uint8_t* from_;
  std::int64_t to_stride_, from_stride_;
  std::int32_t from_zero_;
  float from_step_;
  F32 bias_[Vectors];
};

// Finishes the sums of output pixels and writes them.
class Finish {
 public:
  Finish(const Epilogue& epilogue, const TensorRef& y)
      : y_(y),
        quantizer_(y.grid, epilogue.low, epilogue.high),
        residual_(epilogue.residual ? *epilogue.residual : y),
        has_residual_(epilogue.residual != nullptr),
        function_(epilogue.function),
        bias_(epilogue.bias.begin(), epilogue.bias.end()),
        slope_(epilogue.slope.begin(), epilogue.slope.end()),
        low_(F32{} + epilogue.low),
        high_(F32{} + epilogue.high) {
    bias_.resize(static_cast<std::size_t>(y.lanes()), 0.0F);
    if (!slope_.empty()) slope_.resize(static_cast<std::size_t>(y.lanes()), 1.0F);
    if (function_ != Function::none) {
      kept_.assign(static_cast<std::size_t>(y.lanes()), 0);
      std::fill_n(kept_.begin(), y.channels, -1);
    }
  }

  // Calls loop(finish), where finish(sums, pixel) is for Vectors vectors of channels from `channel` on.
  template <int Vectors, typename Loop>
  [[gnu::always_inline]] void in(std::int64_t channel, const Loop& loop) const {
    const bool simple = y_.dtype == Dtype::kUint8 && function_ == Function::none && slope_.empty();
    if (simple && !has_residual_ && kFloorSaturates && quantizer_.reaches_zero) {
      loop(ByteEnding<Vectors, false, true>(y_, quantizer_, y_, bias_.data(), channel));
    } else if (simple && !has_residual_) {
      loop(ByteEnding<Vectors, false, false>(y_, quantizer_, y_, bias_.data(), channel));
    } else if (simple && residual_.tensor().dtype == Dtype::kUint8) {
      loop(ByteEnding<Vectors, true, false>(y_, quantizer_, residual_.tensor(), bias_.data(), channel));
    } else {
      loop([&](const F32* sums, std::int64_t pixel) __attribute__((always_inline)) {
        any<Vectors>(sums, pixel, channel);
      });
    }
  }

 private:
  template <int Vectors>
  [[gnu::always_inline]] void any(const F32* sums, std::int64_t pixel, std::int64_t channel) const {
    F32 y[Vectors];
#pragma GCC unroll 4
    for (int i = 0; i < Vectors; ++i) y[i] = sums[i] + load<F32>(bias_.data() + channel + i * kLanes);
    if (has_residual_) {
#pragma GCC unroll 4
      for (int i = 0; i < Vectors; ++i) y[i] = y[i] + residual_(pixel, channel + i * kLanes);
    }
    if (function_ != Function::none) {
      F32 values[Vectors];  // a copy, so that y stays in registers where there is no function
#pragma GCC unroll 4
      for (int i = 0; i < Vectors; ++i) values[i] = y[i];
      compute(values, Vectors, channel);
#pragma GCC unroll 4
      for (int i = 0; i < Vectors; ++i) y[i] = values[i];
    }
    if (!slope_.empty()) {
#pragma GCC unroll 4
      for (int i = 0; i < Vectors; ++i)
        y[i] = y[i] > 0 ? y[i] : y[i] * load<F32>(slope_.data() + channel + i * kLanes);
    }
    const std::int64_t at = pixel * y_.stride + channel;
    switch (y_.dtype) {
      case Dtype::kFloat32:
        return write<float>(y, at, [&](F32 v) { return clipped(v); });
      case Dtype::kBf16:
        return write<std::uint16_t>(y, at, [&](F32 v) { return to_bf16(clipped(v)); });
      case Dtype::kInt16:
        return write<std::int16_t>(y, at, [&](F32 v) { return narrow_to_words(quantizer_(v)); });
      case Dtype::kUint8: {
        I32 steps[Vectors];
#pragma GCC unroll 4
        for (int i = 0; i < Vectors; ++i) steps[i] = quantizer_(y[i]);
        store_bytes(reinterpret_cast<std::uint8_t*>(y_.data) + at, steps, quantizer_.zero);
      }
    }
  }

  // The function of all values; lanes beyond the channels become zero again.
  [[gnu::noinline]] void compute(F32* values, int vectors, std::int64_t channel) const {
    apply(function_, values, vectors);
    for (int i = 0; i < vectors; ++i)
      values[i] = reinterpret_cast<F32>(reinterpret_cast<I32>(values[i]) & load<I32>(kept_.data() + channel + i * kLanes));
  }

  [[gnu::always_inline]] F32 clipped(F32 y) const { return smaller(larger(y, low_), high_); }

  template <typename Stored, int Vectors, typename Convert>
  [[gnu::always_inline]] void write(const F32 (&y)[Vectors], std::int64_t at, const Convert& convert) const {
    auto* const to = reinterpret_cast<Stored*>(y_.data) + at;
#pragma GCC unroll 4
    for (int i = 0; i < Vectors; ++i) store(to + i * kLanes, convert(y[i]));
  }

  TensorRef y_;
  Quantizer quantizer_;
  Reader residual_;
  bool has_residual_;
  Function function_;
  AlignedVector<float> bias_, slope_;  // one per lane of a pixel; slope_ may be empty
  AlignedVector<std::int32_t> kept_;    // all bits of lanes that are channels; empty without a function
  F32 low_, high_;
};

// Calls function(a constant) for 1 to kPanelVectors vectors.
template <typename Function>
[[gnu::always_inline]] inline void for_vectors(std::int64_t vectors, const Function& function) {
  switch (vectors) {
    case 1:
      return function(std::integral_constant<int, 1>());
    case 2:
      return function(std::integral_constant<int, 2>());
    case 3:
      return function(std::integral_constant<int, 3>());
    default:
      return function(std::integral_constant<int, 4>());
  }
}

}  // namespace tilewise::TILEWISE_SET
