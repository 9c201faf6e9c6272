// What the light operations share: memory formats, and the walk over a pixel's channels.
//
// The files in bodies/ are compiled once per kernel set, each time into the namespace TILEWISE_SET, which the
// set's source file defines before it includes them: the same body built with other compiler flags is another
// function.
#pragma once

#include <algorithm>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <type_traits>

#include "kernels/op.h"

#ifndef TILEWISE_SET
#error "define TILEWISE_SET, the namespace of the kernel set, before including a body"
#endif

namespace tilewise::TILEWISE_SET {

inline constexpr std::int64_t kPiece = 16;

// How real numbers lie in an integer tensor.
template <typename Integer>
struct GridFormat {
  using Type = Integer;
  using Sum = std::int32_t;

  float step, factor, low, high;
  std::int32_t zero;

  explicit GridFormat(const QuantGrid& grid)
      : step(grid.step),
        factor(grid.factor),
        low(static_cast<float>(grid.low)),
        high(static_cast<float>(grid.high)),
        zero(grid.zero) {}

  Type zero_value() const { return static_cast<Type>(zero); }
  Sum steps(Type value) const { return value - zero; }
  float real(Type value) const { return static_cast<float>(value - zero) * step; }
  float mean(Sum sum, float reciprocal) const { return static_cast<float>(sum) * step * reciprocal; }

  // Clamping to integers before the floor gives what clamping after it gives, and keeps the conversion in
  // range whatever y is; NaN becomes `low`.
  Type store(float y) const {
    float value = y * factor + 0.5f;
    value = value > low ? value : low;
    value = value < high ? value : high;
    const auto truncated = static_cast<std::int32_t>(value);
    const std::int32_t q = truncated - (static_cast<float>(truncated) > value ? 1 : 0);
    return static_cast<Type>(q + zero);
  }
};

struct FloatFormat {
  using Type = float;
  using Sum = float;

  Type zero_value() const { return 0; }
  Sum steps(Type value) const { return value; }
  float real(Type value) const { return value; }
  float mean(Sum sum, float reciprocal) const { return sum * reciprocal; }
  Type store(float y) const { return y; }
};

// Only written: what reads bf16 is convolutions. Rounded to nearest even; NaN stays NaN.
struct Bf16Format {
  using Type = std::uint16_t;

  Type zero_value() const { return 0; }
  Type store(float y) const {
    const auto bits = std::bit_cast<std::uint32_t>(y);
    return static_cast<Type>(y == y ? (bits + 0x7FFF + ((bits >> 16) & 1)) >> 16 : 0x7FC0);
  }
};

// Calls function(format) with the format of a tensor that is read.
template <typename Function>
void with_format(const TensorRef& tensor, const Function& function) {
  switch (tensor.dtype) {
    case Dtype::kUint8: return function(GridFormat<std::uint8_t>(tensor.grid));
    case Dtype::kInt16: return function(GridFormat<std::int16_t>(tensor.grid));
    case Dtype::kFloat32: return function(FloatFormat());
    case Dtype::kBf16: return;
  }
}

// The same for tensors that only import and element-wise operations write, of any type.
template <typename Function>
void with_any_format(const TensorRef& tensor, const Function& function) {
  if (tensor.dtype == Dtype::kBf16) return function(Bf16Format());
  with_format(tensor, function);
}

// Whether two tensors hold the same real numbers as the same bytes.
inline bool same_format(const TensorRef& a, const TensorRef& b) {
  return a.dtype == b.dtype && (a.dtype == Dtype::kFloat32 || a.grid == b.grid);
}

template <typename T>
T* pixel_at(const TensorRef& tensor, std::int64_t image, std::int64_t row, std::int64_t col) {
  const std::int64_t index = ((image * tensor.height + row) * tensor.width + col) * tensor.stride;
  return reinterpret_cast<T*>(tensor.data) + index;
}

// Calls function(first, lanes) for the channels of a pixel in pieces. `lanes` is a constant for whole pieces,
// which the compiler turns into vectors, and a number for the rest: nothing beyond the channels is read or
// written.
template <typename Function>
void for_channels(std::int64_t channels, const Function& function) {
  std::int64_t first = 0;
  for (; first + kPiece <= channels; first += kPiece) {
    function(first, std::integral_constant<std::int64_t, kPiece>());
  }
  if (first < channels) function(first, channels - first);
}

// An operation whose pieces of work are the rows of one tensor, image after image.
class RowOp : public Op {
 public:
  RowOp() = default;  // nothing to do, until set_rows()
  explicit RowOp(const TensorRef& tensor) : rows_(tensor.height) {}

  std::int64_t tasks(const Call& call) const final { return call.images * rows_; }

  void run(const Call& call, std::int64_t begin, std::int64_t end, std::byte*, StageSeconds*) const final {
    for (std::int64_t task = begin; task < end; ++task) row(call, task / rows_, task % rows_);
  }

 protected:
  void set_rows(std::int64_t rows) { rows_ = rows; }

 private:
  virtual void row(const Call& call, std::int64_t image, std::int64_t i) const = 0;

  std::int64_t rows_ = 0;
};

}  // namespace tilewise::TILEWISE_SET
