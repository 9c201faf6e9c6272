// Dense row-major tensors: a view on somebody's memory, and one that owns its memory.
#pragma once

#include <array>
#include <cassert>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "base/check.h"

namespace tilewise {

template <std::size_t Rank>
using Shape = std::array<std::int64_t, Rank>;

template <typename T, std::size_t Rank>
struct TensorView {
  T* data = nullptr;
  Shape<Rank> shape{};

  // Indices are checked in builds with assertions, which the sanitizer build is.
  template <typename... Indices>
  T& operator()(Indices... indices) const {
    static_assert(sizeof...(Indices) == Rank);
    const Shape<Rank> index{static_cast<std::int64_t>(indices)...};
    std::int64_t offset = 0;
    for (std::size_t axis = 0; axis < Rank; ++axis) {
      assert(0 <= index[axis] && index[axis] < shape[axis]);
      offset = offset * shape[axis] + index[axis];
    }
    return data[offset];
  }
};

template <typename T, std::size_t Rank>
struct Tensor {
  Shape<Rank> shape{};
  std::vector<T> values;

  Tensor() = default;
  explicit Tensor(const Shape<Rank>& extents)
      : shape(extents), values(static_cast<std::size_t>(element_count(extents))) {}

  TensorView<T, Rank> view() { return {values.data(), shape}; }
  TensorView<const T, Rank> view() const { return {values.data(), shape}; }
};

}  // namespace tilewise
