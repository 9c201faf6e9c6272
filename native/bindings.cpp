// The Python module tilewise._native; its types and texts for users are in src/tilewise/_native.pyi.
// This file and bindings/ are all that knows Python. NumPy arrays come in and results go out without a copy.
#include <nanobind/nanobind.h>
#include <nanobind/ndarray.h>
#include <nanobind/stl/optional.h>
#include <nanobind/stl/pair.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/tuple.h>
#include <nanobind/stl/variant.h>

#include <cstddef>
#include <cstdint>
#include <limits>
#include <new>
#include <optional>
#include <stdexcept>
#include <string>
#include <tuple>
#include <utility>
#include <variant>
#include <vector>

#include "base/check.h"
#include "base/machine.h"
#include "base/tensor.h"
#include "bindings/arrays.h"
#include "bindings/training.h"
#include "engine/engine.h"
#include "engine/plan.h"
#include "kernels/op.h"
#include "kernels/winograd/contract.h"
#include "kernels/winograd/reference.h"

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

using Pair = std::pair<std::int64_t, std::int64_t>;
using Residual = std::optional<std::int64_t>;
using Floats = Input<float, 1>;

constexpr float kInfinity = std::numeric_limits<float>::infinity();

std::int64_t add_tensor(Plan& plan, std::int64_t height, std::int64_t width, std::int64_t channels,
                        std::int64_t stride, std::int64_t offset, const std::string& dtype, float step,
                        float factor, std::int64_t low, std::int64_t high) {
  return plan.add_tensor(
      {.height = height,
       .width = width,
       .channels = channels,
       .stride = stride,
       .offset = offset,
       .dtype = dtype_of(dtype),
       .grid = {.step = step, .factor = factor, .low = int32("low", low), .high = int32("high", high)}});
}

// A variant of arrays as a variant of views.
template <std::size_t Rank>
using Weights = std::variant<Input<std::int8_t, Rank>, Input<std::int16_t, Rank>, Input<std::uint16_t, Rank>,
                             Input<float, Rank>>;

template <std::size_t Rank>
WeightView<Rank> weight_view(const Weights<Rank>& weights) {
  if (const auto* const int8 = std::get_if<0>(&weights)) return view<std::int8_t, Rank>(*int8);
  if (const auto* const int16 = std::get_if<1>(&weights)) return view<std::int16_t, Rank>(*int16);
  if (const auto* const bf16 = std::get_if<2>(&weights)) return view<std::uint16_t, Rank>(*bf16);
  return view<float, Rank>(std::get<3>(weights));
}

void add_direct(Plan& plan, const std::string& name, std::int64_t x, std::int64_t y, const Weights<4>& weight,
                const std::optional<Floats>& scale, const Floats& bias, Pair stride, Pair padding,
                Pair dilation, Residual residual, float act_low, float act_high, bool unfused) {
  plan.direct({.name = name, .x = x, .y = y, .residual = residual},
              {.weight = weight_view<4>(weight),
               .scale = view<float, 1>(scale),
               .bias = view<float, 1>(bias),
               .window = {.stride_h = stride.first,
                          .stride_w = stride.second,
                          .pad_top = padding.first,
                          .pad_left = padding.second,
                          .dilation_h = dilation.first,
                          .dilation_w = dilation.second},
               .activation = {.low = act_low, .high = act_high},
               .unfused = unfused});
}

void add_fast(Plan& plan, const std::string& name, std::int64_t x, std::int64_t y,
              const std::string& algorithm, const Input<float, 2>& bt, const Input<float, 2>& at,
              bool integer, const Weights<3>& u, const std::optional<Input<std::int32_t, 2>>& mult,
              const std::optional<Input<float, 2>>& scale, std::int64_t v_limit, std::int64_t fraction_bits,
              const Floats& bias, std::int64_t stride, Pair padding, Residual residual, float act_low,
              float act_high, std::int64_t block) {
  plan.fast({.name = name, .x = x, .y = y, .residual = residual},
            {.algorithm = algorithm,
             .bt = view<float, 2>(bt),
             .at = view<float, 2>(at),
             .integer = integer,
             .u = weight_view<3>(u),
             .mult = view<std::int32_t, 2>(mult),
             .scale = view<float, 2>(scale),
             .v_limit = v_limit,
             .fraction_bits = int32("fraction_bits", fraction_bits),
             .bias = view<float, 1>(bias),
             .stride = stride,
             .pad_top = padding.first,
             .pad_left = padding.second,
             .activation = {.low = act_low, .high = act_high},
             .block = block});
}

IntegerSpec integer_spec(const std::string& algorithm, const Input<std::int8_t, 4>& weight,
                         const Floats& scale, const Floats& bias, Pair padding, float act_low, float act_high,
                         std::int64_t block) {
  return {.algorithm = algorithm,
          .weight = view<std::int8_t, 4>(weight),
          .scale = view<float, 1>(scale),
          .bias = view<float, 1>(bias),
          .pad_top = padding.first,
          .pad_left = padding.second,
          .activation = {.low = act_low, .high = act_high},
          .block = block};
}

void add_exact(Plan& plan, const std::string& name, std::int64_t x, std::int64_t y,
               const std::string& algorithm, const Input<std::int32_t, 2>& at,
               const Input<std::int32_t, 2>& g, const Input<std::int32_t, 2>& bt,
               const Input<std::int8_t, 4>& weight, const Floats& scale, const Floats& bias, Pair padding,
               Residual residual, float act_low, float act_high, std::int64_t block) {
  plan.exact({.name = name, .x = x, .y = y, .residual = residual},
             {integer_spec(algorithm, weight, scale, bias, padding, act_low, act_high, block),
              view<std::int32_t, 2>(at), view<std::int32_t, 2>(g), view<std::int32_t, 2>(bt)});
}

void add_residue(Plan& plan, const std::string& name, std::int64_t x, std::int64_t y,
                 const std::string& algorithm, std::int64_t m, const Input<std::int64_t, 1>& moduli,
                 const Input<std::int8_t, 4>& weight, const Floats& scale, const Floats& bias, Pair padding,
                 Residual residual, float act_low, float act_high, std::int64_t block) {
  plan.residue({.name = name, .x = x, .y = y, .residual = residual},
               {integer_spec(algorithm, weight, scale, bias, padding, act_low, act_high, block), m,
                view<std::int64_t, 1>(moduli)});
}

void add_pool(Plan& plan, const std::string& name, std::int64_t x, std::int64_t y, bool maximum,
              const Input<std::int64_t, 2>& rows, const Input<std::int64_t, 2>& cols, std::int64_t divisor) {
  plan.pool({.name = name, .x = x, .y = y}, {.maximum = maximum,
                                             .rows = view<std::int64_t, 2>(rows),
                                             .cols = view<std::int64_t, 2>(cols),
                                             .divisor = divisor});
}

void add_eltwise(Plan& plan, const std::string& name, std::int64_t x, std::int64_t y,
                 const std::optional<Floats>& scale, const std::optional<Floats>& bias, Residual residual,
                 float act_low, float act_high) {
  plan.eltwise({.name = name, .x = x, .y = y, .residual = residual},
               {.scale = view<float, 1>(scale),
                .bias = view<float, 1>(bias),
                .activation = {.low = act_low, .high = act_high}});
}

void add_gather(Plan& plan, const std::string& name, std::int64_t x, std::int64_t y,
                const Input<std::int64_t, 1>& rows, const Input<std::int64_t, 1>& cols, std::int64_t first,
                bool clear) {
  plan.gather({.name = name, .x = x, .y = y}, {.rows = view<std::int64_t, 1>(rows),
                                               .cols = view<std::int64_t, 1>(cols),
                                               .first = first,
                                               .clear = clear});
}

void add_pixel_shuffle(Plan& plan, const std::string& name, std::int64_t x, std::int64_t y,
                       std::int64_t factor) {
  plan.pixel_shuffle({.name = name, .x = x, .y = y}, factor);
}

void add_resize(Plan& plan, const std::string& name, std::int64_t x, std::int64_t y,
                const Input<std::int64_t, 2>& rows, const Floats& row_weights,
                const Input<std::int64_t, 2>& cols, const Floats& col_weights) {
  plan.resize({.name = name, .x = x, .y = y}, {.rows = view<std::int64_t, 2>(rows),
                                               .cols = view<std::int64_t, 2>(cols),
                                               .row_weights = view<float, 1>(row_weights),
                                               .col_weights = view<float, 1>(col_weights)});
}

void make_engine(Engine* self, const Plan& plan, std::int64_t threads, const std::string& isa) {
  plan.check_finished();  // while nobody else can add to it; a finished plan never changes again
  const int count = int32("threads", threads);
  const nb::gil_scoped_release release;
  new (self) Engine(plan, count, isa);
}

using Images = Input<float, 4>;
using Result = nb::ndarray<float, nb::c_contig, nb::device::cpu>;

// Refuses arrays that are not what the network takes and gives. Returns the number of images.
std::int64_t check_arrays(const Engine& engine, const Images& x, const Result& y) {
  const TensorSpec &in = engine.input(), &out = engine.output();
  const Shape<4> shape = view<float, 4>(x).shape;
  if (shape[1] != in.channels || shape[2] != in.height || shape[3] != in.width) {
    refuse("x has shape (", shape[0], ", ", shape[1], ", ", shape[2], ", ", shape[3], "), must be (N, ",
           in.channels, ", ", in.height, ", ", in.width, ")");
  }
  const auto values = static_cast<std::size_t>(out.channels * out.height * out.width);
  if (y.ndim() == 0 || y.shape(0) != x.shape(0) || y.size() != x.shape(0) * values) {
    refuse("y has ", y.size(), " values, must be of shape (N, ", out.channels, ", ", out.height, ", ",
           out.width, ") with N = ", shape[0],
           ", the number of images, or as many values in other axes after N");
  }
  return shape[0];
}

void run(Engine& engine, const Images& x, const Result& y) {
  const std::int64_t images = check_arrays(engine, x, y);
  const nb::gil_scoped_release release;
  engine.run(x.data(), images, y.data());
}

nb::list profile(Engine& engine, const Images& x, const Result& y, std::int64_t repeats) {
  const std::int64_t images = check_arrays(engine, x, y);
  std::vector<OpProfile> ops;
  {
    const nb::gil_scoped_release release;
    ops = engine.profile(x.data(), images, y.data(), repeats);
  }
  nb::list result;
  for (const OpProfile& op : ops) {
    nb::dict entry;
    entry["name"] = op.name;
    entry["op"] = op.kernel;
    entry["algorithm"] = op.algorithm;
    entry["seconds"] = op.seconds;
    entry["input_transform"] = op.stages.input_transform;
    entry["requantize"] = op.stages.requantize;
    entry["multiply"] = op.stages.multiply;
    entry["output_transform"] = op.stages.output_transform;
    result.append(entry);
  }
  return result;
}

nb::list list_kernel_sets() {
  nb::list result;
  for (const KernelSet* const set : kernel_sets()) {
    nb::list kernels;
#define TILEWISE_KERNEL(name, Params) kernels.append(#name);
#include "kernels/kernels.inc"
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
    const nb::gil_scoped_release release;
    peaks = set.measure_peaks();
  }
  nb::dict result;
  result["int8_operations"] = peaks.int8_operations;
  result["float_operations"] = peaks.float_operations;
  result["cache_bytes"] = peaks.cache_bytes;
  result["memory_bytes"] = peaks.memory_bytes;
  return result;
}

void bind_plan(nb::module_& module) {
  const nb::kw_only kw;
  const auto none = nb::none();
  nb::class_<Plan>(module, "Plan",
                   "A network as the engine runs it: tensors in an arena, operations in order.")
      .def(nb::init<std::int64_t, std::int64_t>(), kw, "batch"_a, "arena_bytes"_a)
      .def("add_tensor", &add_tensor, kw, "height"_a, "width"_a, "channels"_a, "stride"_a, "offset"_a,
           "dtype"_a, "step"_a = 1.0f, "factor"_a = 1.0f, "low"_a = 0, "high"_a = 255)
      .def("import_nchw", &Plan::import_nchw, kw, "name"_a, "y"_a)
      .def("export_nchw", &Plan::export_nchw, kw, "name"_a, "x"_a)
      .def("direct", &add_direct, kw, "name"_a, "x"_a, "y"_a, "weight"_a.noconvert(),
           "scale"_a.noconvert() = none, "bias"_a.noconvert(), "stride"_a = Pair(1, 1),
           "padding"_a = Pair(0, 0), "dilation"_a = Pair(1, 1), "residual"_a = none, "act_low"_a = -kInfinity,
           "act_high"_a = kInfinity, "unfused"_a = false)
      .def("fast", &add_fast, kw, "name"_a, "x"_a, "y"_a, "algorithm"_a, "bt"_a.noconvert(),
           "at"_a.noconvert(), "integer"_a, "u"_a.noconvert(), "mult"_a.noconvert() = none,
           "scale"_a.noconvert() = none, "v_limit"_a = 127, "fraction_bits"_a = 15, "bias"_a.noconvert(),
           "stride"_a = 1, "padding"_a = Pair(0, 0), "residual"_a = none, "act_low"_a = -kInfinity,
           "act_high"_a = kInfinity, "block"_a = 0)
      .def("exact", &add_exact, kw, "name"_a, "x"_a, "y"_a, "algorithm"_a, "at"_a.noconvert(),
           "g"_a.noconvert(), "bt"_a.noconvert(), "weight"_a.noconvert(), "scale"_a.noconvert(),
           "bias"_a.noconvert(), "padding"_a = Pair(0, 0), "residual"_a = none, "act_low"_a = -kInfinity,
           "act_high"_a = kInfinity, "block"_a = 0)
      .def("residue", &add_residue, kw, "name"_a, "x"_a, "y"_a, "algorithm"_a, "m"_a, "moduli"_a.noconvert(),
           "weight"_a.noconvert(), "scale"_a.noconvert(), "bias"_a.noconvert(), "padding"_a = Pair(0, 0),
           "residual"_a = none, "act_low"_a = -kInfinity, "act_high"_a = kInfinity, "block"_a = 0)
      .def("pool", &add_pool, kw, "name"_a, "x"_a, "y"_a, "maximum"_a, "rows"_a.noconvert(),
           "cols"_a.noconvert(), "divisor"_a = 0)
      .def("eltwise", &add_eltwise, kw, "name"_a, "x"_a, "y"_a, "scale"_a.noconvert() = none,
           "bias"_a.noconvert() = none, "residual"_a = none, "act_low"_a = -kInfinity,
           "act_high"_a = kInfinity)
      .def("gather", &add_gather, kw, "name"_a, "x"_a, "y"_a, "rows"_a.noconvert(), "cols"_a.noconvert(),
           "first"_a = 0, "clear"_a = true)
      .def("pixel_shuffle", &add_pixel_shuffle, kw, "name"_a, "x"_a, "y"_a, "factor"_a)
      .def("resize", &add_resize, kw, "name"_a, "x"_a, "y"_a, "rows"_a.noconvert(),
           "row_weights"_a.noconvert(), "cols"_a.noconvert(), "col_weights"_a.noconvert());
}

void bind_engine(nb::module_& module) {
  nb::class_<Engine>(module, "Engine", "Runs a plan on the kernels of one set and a number of threads.")
      .def("__init__", &make_engine, "plan"_a, nb::kw_only(), "threads"_a, "isa"_a = "")
      .def_prop_ro("isa", [](const Engine& engine) { return engine.set().name; })
      .def_prop_ro("threads", &Engine::threads)
      .def("run", &run, "x"_a.noconvert(), "y"_a.noconvert())
      .def("profile", &profile, "x"_a.noconvert(), "y"_a.noconvert(), "repeats"_a);
}

}  // namespace
}  // namespace tilewise

NB_MODULE(_native, module) {
  // noconvert: an array of another dtype or layout is refused; converting it would cut values silently.
  module.def("winograd_conv2d", &tilewise::winograd_conv2d, "x"_a.noconvert(), "u"_a.noconvert(),
             "bt"_a.noconvert(), "mult"_a.noconvert(), "at"_a.noconvert(), "scale"_a.noconvert(),
             "bias"_a.noconvert() = nb::none(), "padding"_a = std::pair<std::int64_t, std::int64_t>(0, 0),
             "v_limit"_a = 127, "fraction_bits"_a = 15, "stride"_a = 1,
             "The reference quantized Winograd convolution, stage by stage: (V, Vq, M, Y).");
  tilewise::bind_plan(module);
  tilewise::bind_engine(module);
  tilewise::bind_training(module);
  module.def("kernel_sets", &tilewise::list_kernel_sets, "What this build can compute with, best first.");
  module.def("cpu_name", &tilewise::cpu_name, "This machine's processor.");
  module.def("compiler", &tilewise::compiler, "What this module was compiled with.");
  module.def("measure_peaks", &tilewise::measure_peaks, "isa"_a = "",
             "Operations and bytes per second of one core at most, with a kernel set's instructions.");
}
