#include "bindings/engine.h"

#include <nanobind/ndarray.h>
#include <nanobind/stl/pair.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/tuple.h>
#include <nanobind/stl/unique_ptr.h>
#include <nanobind/stl/vector.h>

#include <cstdint>
#include <memory>
#include <stdexcept>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

#include "base/aligned.h"
#include "base/check.h"
#include "bindings/without_lock.h"
#include "c_api/tilewise.h"
#include "program/sizes.h"
#include "program/views.h"

namespace tilewise {
namespace {

namespace nb = nanobind;
using nb::literals::operator""_a;

using Images = nb::ndarray<nb::ro, nb::c_contig, nb::device::cpu>;
using Result = nb::ndarray<nb::c_contig, nb::device::cpu>;
using Extents = std::tuple<std::int64_t, std::int64_t, std::int64_t, std::int64_t>;  // N, C, H, W

// A status as the exception that Python users expect.
void check(tilewise_status status, const tilewise_error& error) {
  if (status == TILEWISE_OK) return;
  if (status == TILEWISE_NO_MEMORY) {
    PyErr_SetString(PyExc_MemoryError, error.message);
    throw nb::python_error();
  }
  if (status == TILEWISE_INTERNAL) throw std::runtime_error(error.message);
  throw std::invalid_argument(error.message);
}

template <typename Array>
tilewise_dtype dtype_of(const Array& array) {
  if (array.dtype() == nb::dtype<float>()) return TILEWISE_FLOAT32;
  if (array.dtype() == nb::dtype<std::uint8_t>()) return TILEWISE_UINT8;
  if (array.dtype() == nb::dtype<std::int16_t>()) return TILEWISE_INT16;
  refuse("an array is neither float32, uint8 nor int16");
}

template <typename Array>
tilewise_array array_of(const Array& array, bool channels_last) {
  tilewise_array result{};
  result.data = const_cast<void*>(static_cast<const void*>(array.data()));
  result.bytes = array.nbytes();
  result.dtype = dtype_of(array);
  result.layout = channels_last ? TILEWISE_NHWC : TILEWISE_NCHW;
  if (array.ndim() == 4) {
    const auto extent = [&](std::size_t axis) { return static_cast<std::int64_t>(array.shape(axis)); };
    result.shape = {extent(0), extent(channels_last ? 3 : 1), extent(channels_last ? 1 : 2), extent(channels_last ? 2 : 3)};
  }
  return result;
}

template <typename Array>
std::vector<tilewise_array> arrays_of(const std::vector<Array>& arrays, bool channels_last) {
  std::vector<tilewise_array> result;
  for (const Array& array : arrays) result.push_back(array_of(array, channels_last));
  return result;
}

std::vector<tilewise_shape> shapes_of(const std::vector<Extents>& extents) {
  std::vector<tilewise_shape> shapes;
  for (const auto& [n, c, h, w] : extents) shapes.push_back({n, c, h, w});
  return shapes;
}

class PyEngine {
 public:
  PyEngine(const nb::bytes& content, int threads, const std::string& kernel_set, std::int64_t batch) {
    const tilewise_options options{threads, kernel_set.empty() ? nullptr : kernel_set.c_str(), batch};
    tilewise_error error;
    tilewise_status status;
    {
      const WithoutLock released;
      status = tilewise_load_memory(content.data(), content.size(), &options, &engine_, &error);
    }
    check(status, error);
  }
  explicit PyEngine(tilewise_engine* engine) : engine_(engine) {}
  ~PyEngine() { tilewise_free(engine_); }
  PyEngine(const PyEngine&) = delete;
  PyEngine& operator=(const PyEngine&) = delete;

  std::unique_ptr<PyEngine> share(int threads) const {
    tilewise_engine* another = nullptr;
    tilewise_error error;
    tilewise_status status;
    {
      const WithoutLock released;
      status = tilewise_share(engine_, threads, &another, &error);
    }
    check(status, error);
    return std::make_unique<PyEngine>(another);
  }

  std::string kernel_set() const { return tilewise_kernel_set(engine_); }
  int threads() const { return tilewise_threads(engine_); }
  std::size_t activation_bytes() const { return tilewise_activation_bytes(engine_); }
  nb::list inputs() const { return ports(tilewise_input_count(engine_), tilewise_input); }
  nb::list outputs() const { return ports(tilewise_output_count(engine_), tilewise_output); }

  std::size_t memory(const std::vector<Extents>& inputs) const {
    const std::vector<tilewise_shape> shapes = shapes_of(inputs);
    std::size_t bytes = 0;
    tilewise_error error;
    check(tilewise_memory(engine_, shapes.data(), shapes.size(), &bytes, &error), error);
    return bytes;
  }

  std::vector<Extents> prepare(const std::vector<Extents>& inputs) {
    const std::vector<tilewise_shape> shapes = shapes_of(inputs);
    std::vector<tilewise_shape> results(tilewise_output_count(engine_));
    tilewise_error error;
    tilewise_status status;
    {
      const WithoutLock released;
      status = tilewise_prepare(engine_, shapes.data(), shapes.size(), results.data(), results.size(), &error);
    }
    check(status, error);
    std::vector<Extents> found;
    for (const tilewise_shape& shape : results) found.emplace_back(shape.images, shape.channels, shape.height, shape.width);
    return found;
  }

  void run(const std::vector<Images>& inputs, const std::vector<Result>& outputs, bool channels_last) {
    const auto in = arrays_of(inputs, channels_last), out = results_of(outputs, channels_last);
    tilewise_error error;
    tilewise_status status;
    {
      const WithoutLock released;
      status = tilewise_run(engine_, in.data(), in.size(), out.data(), out.size(), &error);
    }
    check(status, error);
  }

  nb::list profile(const std::vector<Images>& inputs, const std::vector<Result>& outputs, bool channels_last,
                   std::int64_t repeats) {
    const auto in = arrays_of(inputs, channels_last), out = results_of(outputs, channels_last);
    tilewise_profile* found = nullptr;
    tilewise_error error;
    tilewise_status status;
    {
      const WithoutLock released;
      status = tilewise_measure(engine_, in.data(), in.size(), out.data(), out.size(), repeats, &found, &error);
    }
    check(status, error);
    const std::unique_ptr<tilewise_profile, decltype(&tilewise_free_profile)> owner(found, tilewise_free_profile);
    nb::list result;
    for (std::size_t i = 0; i < tilewise_timing_count(found); ++i) {
      const tilewise_timing& timing = tilewise_timings(found)[i];
      nb::dict entry;
      entry["name"] = timing.name;
      entry["op"] = timing.kernel;
      entry["algorithm"] = timing.algorithm;
      entry["seconds"] = timing.seconds;
      entry["input_transform"] = timing.input_transform;
      entry["requantize"] = timing.requantize;
      entry["multiply"] = timing.multiply;
      entry["output_transform"] = timing.output_transform;
      entry["operations"] = timing.operations;
      entry["bytes"] = timing.bytes;
      result.append(entry);
    }
    return result;
  }

 private:
  // Results that are no maps come in one order only.
  std::vector<tilewise_array> results_of(const std::vector<Result>& outputs, bool channels_last) const {
    std::vector<tilewise_array> results = arrays_of(outputs, channels_last);
    for (std::size_t i = 0; i < results.size() && i < tilewise_output_count(engine_); ++i) {
      tilewise_port port;
      tilewise_error error;
      check(tilewise_output(engine_, i, &port, &error), error);
      if (port.flat != 0) results[i].layout = port.channels_last != 0 ? TILEWISE_NHWC : TILEWISE_NCHW;
    }
    return results;
  }

  template <typename Describe>
  nb::list ports(std::size_t count, const Describe& describe) const {
    nb::list result;
    for (std::size_t i = 0; i < count; ++i) {
      tilewise_port port;
      tilewise_error error;
      check(describe(engine_, i, &port, &error), error);
      constexpr const char* kStored[] = {"uint8", "int16", "bfloat16", "float32"};
      nb::dict entry;
      entry["name"] = port.name;
      entry["channels"] = port.channels;
      entry["size"] = nb::make_tuple(port.height, port.width);
      entry["multiple"] = nb::make_tuple(port.height_multiple, port.width_multiple);
      entry["flat"] = port.flat != 0;
      entry["channels_last"] = port.channels_last != 0;
      nb::list axes;
      for (std::size_t axis = 0; axis < port.axis_count; ++axis) {
        const std::int64_t* const extent = port.axes[axis];
        axes.append(nb::make_tuple(extent[0], extent[1], extent[2], extent[3]));
      }
      entry["axes"] = nb::tuple(axes);
      entry["stored"] = kStored[port.stored];
      entry["step"] = port.step;
      entry["zero_point"] = port.zero_point;
      result.append(entry);
    }
    return result;
  }

  tilewise_engine* engine_ = nullptr;
};

AlignedVector<std::byte> aligned(const nb::bytes& content) {
  const auto* const data = static_cast<const std::byte*>(content.data());
  return {data, data + content.size()};
}

using Pairs = std::vector<std::pair<std::int64_t, std::int64_t>>;

// Height and width of each tensor of a file's program, by number.
Pairs tensor_sizes(const nb::bytes& content, const std::vector<Extents>& inputs) {
  const AlignedVector<std::byte> file = aligned(content);
  const Program program(file);
  std::vector<PortShape> shapes;
  for (const auto& [n, c, h, w] : inputs) shapes.push_back({n, {h, w}});
  Pairs result;
  for (const Size& size : infer_sizes(program, shapes)) result.emplace_back(size.height, size.width);
  return result;
}

// In which tensor each one of a file's program lies, by number, and from which of its channels on.
Pairs tensor_views(const nb::bytes& content) {
  const AlignedVector<std::byte> file = aligned(content);
  Pairs result;
  for (const View& view : views(Program(file))) result.emplace_back(view.whole, view.first);
  return result;
}

}  // namespace

void bind_engine(nb::module_& module) {
  nb::class_<PyEngine>(module, "Engine", "Runs a compiled network with the kernels of one set and a number of threads.")
      .def(nb::init<const nb::bytes&, int, const std::string&, std::int64_t>(), "content"_a, nb::kw_only(),
           "threads"_a = 1, "kernel_set"_a = "", "batch"_a = 0)
      .def_prop_ro("kernel_set", &PyEngine::kernel_set)
      .def_prop_ro("threads", &PyEngine::threads)
      .def_prop_ro("activation_bytes", &PyEngine::activation_bytes)
      .def_prop_ro("inputs", &PyEngine::inputs)
      .def_prop_ro("outputs", &PyEngine::outputs)
      .def("share", &PyEngine::share, "threads"_a)
      .def("memory", &PyEngine::memory, "inputs"_a)
      .def("prepare", &PyEngine::prepare, "inputs"_a)
      .def("run", &PyEngine::run, "inputs"_a, "outputs"_a, nb::kw_only(), "channels_last"_a = false)
      .def("profile", &PyEngine::profile, "inputs"_a, "outputs"_a, nb::kw_only(), "channels_last"_a = false, "repeats"_a);
  module.def("tensor_sizes", &tensor_sizes, "content"_a, "inputs"_a,
             "Height and width of each tensor of a program, for inputs of these N, C, H, W.");
  module.def("tensor_views", &tensor_views, "content"_a,
             "The tensor in whose memory each tensor of a program lies, and the channel of that where it begins.");
}

}  // namespace tilewise
