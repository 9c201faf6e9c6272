// NumPy arrays as tensor views and back, without a copy.
#pragma once

#include <nanobind/nanobind.h>
#include <nanobind/ndarray.h>

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <utility>
#include <vector>

#include "base/tensor.h"

namespace tilewise {

namespace nb = nanobind;

template <typename T, std::size_t Rank>
using Input = nb::ndarray<const T, nb::ndim<Rank>, nb::c_contig, nb::device::cpu>;

template <typename T, std::size_t Rank>
using Output = nb::ndarray<nb::numpy, T, nb::ndim<Rank>, nb::c_contig>;

template <typename T, std::size_t Rank>
TensorView<const T, Rank> view(const Input<T, Rank>& array) {
  TensorView<const T, Rank> result{array.data(), {}};
  for (std::size_t axis = 0; axis < Rank; ++axis) {
    result.shape[axis] = static_cast<std::int64_t>(array.shape(axis));
  }
  return result;
}

// Hands the tensor's memory over to a NumPy array.
template <typename T, std::size_t Rank>
Output<T, Rank> to_numpy(Tensor<T, Rank>&& tensor) {
  std::array<std::size_t, Rank> shape;
  for (std::size_t axis = 0; axis < Rank; ++axis) shape[axis] = static_cast<std::size_t>(tensor.shape[axis]);
  auto values = std::make_unique<std::vector<T>>(std::move(tensor.values));
  T* const data = values->data();
  nb::capsule owner(values.get(),
                    [](void* pointer) noexcept { delete static_cast<std::vector<T>*>(pointer); });
  values.release();  // the capsule owns them now
  return Output<T, Rank>(data, Rank, shape.data(), owner);
}

template <typename T, std::size_t Rank>
std::optional<TensorView<const T, Rank>> view(const std::optional<Input<T, Rank>>& array) {
  if (!array) return std::nullopt;
  return view<T, Rank>(*array);
}

}  // namespace tilewise
