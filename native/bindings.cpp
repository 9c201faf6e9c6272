// The Python module tilewise._native; its types and texts for users are in src/tilewise/_native.pyi.
// This file and bindings/ are all that knows Python. NumPy arrays come in and results go out without a copy.
#include <nanobind/nanobind.h>
#include <nanobind/ndarray.h>
#include <nanobind/stl/optional.h>
#include <nanobind/stl/pair.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/tuple.h>

#include <cstddef>
#include <cstdint>
#include <optional>
#include <stdexcept>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

#include "base/check.h"
#include "base/machine.h"
#include "base/tensor.h"
#include "bindings/arrays.h"
#include "bindings/engine.h"
#include "bindings/training.h"
#include "bindings/without_lock.h"
#include "kernels/set.h"
#include "kernels/winograd/contract.h"
#include "kernels/winograd/reference.h"
#include "program/program.h"

namespace nb = nanobind;
using nb::literals::operator""_a;

namespace tilewise {
namespace {

using WinogradStages =
    std::tuple<Output<std::int32_t, 3>, Output<std::int16_t, 3>, Output<std::int32_t, 3>, Output<float, 4>>;

WinogradStages winograd_conv2d(const Input<std::int16_t, 4>& x, const Input<std::int16_t, 3>& u,
                               const Input<std::int32_t, 2>& bt, const Input<std::int32_t, 2>& mult,
                               const Input<float, 2>& at, const Input<float, 2>& scale,
                               const std::optional<Input<float, 1>>& bias,
                               std::pair<std::int64_t, std::int64_t> padding, std::int64_t v_limit,
                               int fraction_bits, std::int64_t stride) {
  winograd::Problem problem{
      .x = view<std::int16_t, 4>(x),
      .u = view<std::int16_t, 3>(u),
      .bt = view<std::int32_t, 2>(bt),
      .mult = view<std::int32_t, 2>(mult),
      .at = view<float, 2>(at),
      .scale = view<float, 2>(scale),
      .bias = std::nullopt,
      .stride = stride,
      .padding = {padding.first, padding.second},
      .v_limit = v_limit,
      .fraction_bits = fraction_bits,
  };
  if (bias) problem.bias = view<float, 1>(*bias);

  winograd::Stages stages;
  try {
    const WithoutLock released;
    stages = winograd::convolve(problem);
  } catch (const std::overflow_error& error) {
    // To Python it is one more bad value, not an OverflowError. A registered translator would do the same to
    // every nanobind module of the process, hence here.
    throw nb::value_error(error.what());
  }
  return {to_numpy(std::move(stages.v)), to_numpy(std::move(stages.vq)), to_numpy(std::move(stages.m)),
          to_numpy(std::move(stages.y))};
}

nb::list list_kernel_sets() {
  nb::list result;
  for (const KernelSet* const set : kernel_sets()) {
    nb::list kernels;
#define TILEWISE_KERNEL(name, Params) kernels.append(#name);
#include "generated/kernels.inc"
#undef TILEWISE_KERNEL
    nb::dict entry;
    entry["name"] = set->name;
    entry["description"] = set->description;
    entry["supported"] = set->supported();
    entry["kernels"] = kernels;
    result.append(entry);
  }
  return result;
}

nb::dict measure_peaks(const std::string& isa) {
  const KernelSet& set = kernel_set(isa.c_str());
  Peaks peaks;
  {
    const WithoutLock released;
    peaks = set.measure_peaks();
  }
  nb::dict result;
  result["int8_operations"] = peaks.int8_operations;
  result["float_operations"] = peaks.float_operations;
  result["cache_bytes"] = peaks.cache_bytes;
  result["memory_bytes"] = peaks.memory_bytes;
  return result;
}

}  // namespace
}  // namespace tilewise

NB_MODULE(_native, module) {
  // A daemon thread that sleeps in a call when the process ends holds its objects: no leak that anybody can mend.
  nb::set_leak_warnings(false);
  nb::module_::import_("atexit").attr("register")(nb::cpp_function(&tilewise::WithoutLock::interpreter_ends));
  // noconvert: an array of another dtype or layout is refused; converting it would cut values silently.
  module.def("winograd_conv2d", &tilewise::winograd_conv2d, "x"_a.noconvert(), "u"_a.noconvert(),
             "bt"_a.noconvert(), "mult"_a.noconvert(), "at"_a.noconvert(), "scale"_a.noconvert(),
             "bias"_a.noconvert() = nb::none(), "padding"_a = std::pair<std::int64_t, std::int64_t>(0, 0),
             "v_limit"_a = 127, "fraction_bits"_a = 15, "stride"_a = 1,
             "The reference quantized Winograd convolution, stage by stage: (V, Vq, M, Y).");
  tilewise::bind_engine(module);
  tilewise::bind_training(module);
  module.def("schema", &tilewise::schema, "The operations of a program and their fields, as JSON.");
  module.def("kernel_sets", &tilewise::list_kernel_sets, "What this build can compute with, best first.");
  module.def("cpu_name", &tilewise::cpu_name, "This machine's processor.");
  module.def("compiler", &tilewise::compiler, "What this module was compiled with.");
  module.def("measure_peaks", &tilewise::measure_peaks, "isa"_a = "",
             "Operations and bytes per second of one core at most, with a kernel set's instructions.");
}
