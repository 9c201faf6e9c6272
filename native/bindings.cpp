// The Python module tilewise._native; its types and texts for users are in src/tilewise/_native.pyi.
// This is the only file that knows Python. NumPy arrays come in and results go out without a copy.
#include <nanobind/nanobind.h>
#include <nanobind/ndarray.h>
#include <nanobind/stl/optional.h>
#include <nanobind/stl/pair.h>
#include <nanobind/stl/tuple.h>

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <stdexcept>
#include <tuple>
#include <utility>
#include <vector>

#include "base/tensor.h"
#include "kernels/winograd/contract.h"
#include "kernels/winograd/reference.h"

namespace nb = nanobind;
using nb::literals::operator""_a;

namespace tilewise {
namespace {

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

using WinogradStages =
    std::tuple<Output<std::int32_t, 3>, Output<std::int16_t, 3>, Output<std::int32_t, 3>, Output<float, 4>>;

WinogradStages winograd_conv2d(const Input<std::int16_t, 4>& x, const Input<std::int16_t, 3>& u,
                               const Input<std::int32_t, 2>& bt, const Input<std::int32_t, 2>& mult,
                               const Input<float, 2>& at, const Input<float, 2>& scale,
                               const std::optional<Input<float, 1>>& bias,
                               std::pair<std::int64_t, std::int64_t> padding, std::int64_t v_limit,
                               int fraction_bits) {
  winograd::Problem problem{
      .x = view<std::int16_t, 4>(x),
      .u = view<std::int16_t, 3>(u),
      .bt = view<std::int32_t, 2>(bt),
      .mult = view<std::int32_t, 2>(mult),
      .at = view<float, 2>(at),
      .scale = view<float, 2>(scale),
      .bias = std::nullopt,
      .padding = {padding.first, padding.second},
      .v_limit = v_limit,
      .fraction_bits = fraction_bits,
  };
  if (bias) problem.bias = view<float, 1>(*bias);

  winograd::Stages stages;
  try {
    const nb::gil_scoped_release release;
    stages = winograd::convolve(problem);
  } catch (const std::overflow_error& error) {
    // To Python it is one more bad value, not an OverflowError. A registered translator would do the same to
    // every nanobind module of the process, hence here.
    throw nb::value_error(error.what());
  }
  return {to_numpy(std::move(stages.v)), to_numpy(std::move(stages.vq)), to_numpy(std::move(stages.m)),
          to_numpy(std::move(stages.y))};
}

}  // namespace
}  // namespace tilewise

NB_MODULE(_native, module) {
  // noconvert: an array of another dtype or layout is refused; converting it would cut values silently.
  module.def("winograd_conv2d", &tilewise::winograd_conv2d, "x"_a.noconvert(), "u"_a.noconvert(),
             "bt"_a.noconvert(), "mult"_a.noconvert(), "at"_a.noconvert(), "scale"_a.noconvert(),
             "bias"_a.noconvert() = nb::none(), "padding"_a = std::pair<std::int64_t, std::int64_t>(0, 0),
             "v_limit"_a = 127, "fraction_bits"_a = 15,
             "The reference quantized Winograd convolution, stage by stage: (V, Vq, M, Y).");
}
