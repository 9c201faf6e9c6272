#include "c_api/tilewise.h"

#include <algorithm>
#include <array>
#include <cstdlib>
#include <cstring>
#include <exception>
#include <filesystem>
#include <fstream>
#include <memory>
#include <new>
#include <stdexcept>
#include <string>
#include <system_error>
#include <vector>

#include "base/aligned.h"
#include "base/check.h"
#include "base/machine.h"
#include "engine/engine.h"

#ifndef TILEWISE_VERSION
#define TILEWISE_VERSION "unknown"
#endif

struct tilewise_engine {
  tilewise::Engine engine;
};

struct tilewise_profile {
  std::vector<tilewise::OperationProfile> operations;
  std::vector<tilewise_timing> timings;
};

namespace tilewise {
namespace {

static_assert(TILEWISE_UINT8 == static_cast<int>(Dtype::kUint8) && TILEWISE_INT16 == static_cast<int>(Dtype::kInt16) &&
              TILEWISE_FLOAT32 == static_cast<int>(Dtype::kFloat32));

class NoFile : public std::runtime_error {
  using std::runtime_error::runtime_error;
};

tilewise_status report(tilewise_status status, const char* text, tilewise_error* error) noexcept {
  if (error == nullptr) return status;
  std::strncpy(error->message, text, sizeof error->message - 1);
  error->message[sizeof error->message - 1] = '\0';
  return status;
}

// Runs function(); an exception becomes a status and a message.
template <typename Function>
tilewise_status guarded(tilewise_error* error, const Function& function) noexcept {
  try {
    function();
    return TILEWISE_OK;
  } catch (const std::invalid_argument& fault) {
    return report(TILEWISE_INVALID, fault.what(), error);
  } catch (const NoFile& fault) {
    return report(TILEWISE_NO_FILE, fault.what(), error);
  } catch (const std::bad_alloc& fault) {
    return report(TILEWISE_NO_MEMORY, fault.what(), error);
  } catch (const std::length_error& fault) {
    return report(TILEWISE_NO_MEMORY, fault.what(), error);
  } catch (const std::exception& fault) {
    return report(TILEWISE_INTERNAL, fault.what(), error);
  } catch (...) {
    return report(TILEWISE_INTERNAL, "an unknown fault", error);
  }
}

template <typename Pointer>
void need(const Pointer* pointer, const char* name) {
  if (pointer == nullptr) refuse(name, " is null, must not be");
}

int threads_of(int given) {
  if (given < 0 || given > cores())
    refuse("threads is ", given, ", must be 1..", cores(), ", the cores that this process may use");
  return given == 0 ? 1 : given;
}

Engine::Options options_of(const tilewise_options* given) {
  Engine::Options options;
  const char* const variable = std::getenv("TILEWISE_ISA");
  if (variable != nullptr) options.set = variable;
  if (given == nullptr) return options;
  options.threads = threads_of(given->threads);
  if (given->kernel_set != nullptr) options.set = given->kernel_set;
  if (given->batch != 0) options.batch = given->batch;
  return options;
}

// The bytes of a file, at a cache line.
AlignedVector<std::byte> content_of(const char* path) {
  std::error_code error;
  const std::uintmax_t size = std::filesystem::file_size(path, error);  // an error for folders too
  if (error) throw NoFile(std::string(path) + ": the file cannot be read");
  std::ifstream file(path, std::ios::binary);
  AlignedVector<std::byte> content(static_cast<std::size_t>(size));
  if (!file.read(reinterpret_cast<char*>(content.data()), static_cast<std::streamsize>(size)))
    throw NoFile(std::string(path) + ": the file cannot be read");
  return content;
}

void load(std::span<const std::byte> content, const tilewise_options* options, tilewise_engine** engine) {
  need(engine, "engine");
  *engine = nullptr;
  *engine = new tilewise_engine{Engine(content, options_of(options))};
}

tilewise_port describe(const Engine& engine, const PortOperation& port) {
  const TensorType& tensor = engine.tensor(port);
  tilewise_port result{.name = port.name.c_str(),
                       .channels = tensor.channels,
                       .height = port.fixed[0],
                       .width = port.fixed[1],
                       .height_multiple = port.multiple[0],
                       .width_multiple = port.multiple[1],
                       .flat = port.flat ? 1 : 0,
                       .channels_last = port.channels_last ? 1 : 0,
                       .axis_count = port.axes.size(),
                       .axes = {},
                       .stored = static_cast<tilewise_dtype>(tensor.dtype),
                       .step = tensor.grid.step,
                       .zero_point = tensor.grid.zero};
  for (std::size_t i = 0; i < port.axes.size(); ++i) {
    const PortOperation::Extent& axis = port.axes[i];
    std::ranges::copy(std::array{axis.multiple, axis.divisor, axis.rows, axis.columns}, result.axes[i]);
  }
  return result;
}

std::int64_t values(const tilewise_shape& shape) {
  return element_count(std::array{shape.images, shape.channels, shape.height, shape.width});
}

void check_shape(const std::string& name, const tilewise_shape& shape, const TensorType& tensor) {
  for (const std::int64_t extent : {shape.images, shape.height, shape.width}) {
    if (extent < 1 || extent > kMaxInt32) refuse(name, ": an extent is ", extent, ", must be at least 1");
  }
  if (shape.channels != tensor.channels) refuse(name, ": has ", shape.channels, " channels, must have ", tensor.channels);
}

// The position of an array: what its name says, else its own.
template <typename PortOf>
std::size_t position(const tilewise_array& array, std::size_t own, std::size_t count, const char* kind, const PortOf& port) {
  if (array.name == nullptr) return own;
  for (std::size_t i = 0; i < count; ++i) {
    if (port(i).name == array.name) return i;
  }
  std::string names;
  for (std::size_t i = 0; i < count; ++i) names += (i == 0 ? "" : ", ") + port(i).name;
  refuse("there is no ", kind, " ", std::string(array.name).substr(0, 80), ", must be ", names);
}

// An enumeration that comes from C may hold any number, which C++ must not take for one of its own.
template <typename Enum>
int number_of(const Enum& value) {
  int number = 0;
  static_assert(sizeof value == sizeof number);
  std::memcpy(&number, &value, sizeof number);
  return number;
}

Port port_of(const std::string& name, const tilewise_array& array, const tilewise_shape& shape) {
  if (array.data == nullptr) refuse(name, ": data is null, must not be");
  const int type = number_of(array.dtype), layout = number_of(array.layout);
  if (type != TILEWISE_UINT8 && type != TILEWISE_INT16 && type != TILEWISE_FLOAT32)
    refuse(name, ": dtype is ", type, ", must be TILEWISE_UINT8, TILEWISE_INT16 or TILEWISE_FLOAT32");
  if (layout != TILEWISE_NCHW && layout != TILEWISE_NHWC)
    refuse(name, ": layout is ", layout, ", must be TILEWISE_NCHW or TILEWISE_NHWC");
  const auto dtype = static_cast<Dtype>(type);
  const std::int64_t bytes = values(shape) * bytes_of(dtype);
  if (array.bytes != static_cast<std::size_t>(bytes)) refuse(name, ": has ", array.bytes, " bytes, must have ", bytes);
  return {.data = static_cast<std::byte*>(array.data), .dtype = dtype, .channels_last = layout == TILEWISE_NHWC};
}

// What a run is given, checked and in the network's order.
struct Arrays {
  std::vector<PortShape> shapes;
  std::vector<Port> inputs, outputs;
};

std::vector<PortShape> shapes_of(const Engine& engine, std::span<const tilewise_shape> inputs) {
  const std::size_t count = engine.program().inputs().size();
  if (inputs.size() != count) refuse("there are ", inputs.size(), " inputs, must be ", count);
  std::vector<PortShape> shapes;
  for (std::size_t i = 0; i < count; ++i) {
    check_shape(engine.input(i).name, inputs[i], engine.tensor(engine.input(i)));
    shapes.push_back({inputs[i].images, {inputs[i].height, inputs[i].width}});
  }
  return shapes;
}

Arrays arrays_of(Engine& engine, std::span<const tilewise_array> inputs, std::span<const tilewise_array> outputs) {
  const std::size_t input_count = engine.program().inputs().size(), output_count = engine.program().outputs().size();
  if (inputs.size() != input_count) refuse("there are ", inputs.size(), " inputs, must be ", input_count);
  if (outputs.size() != output_count) refuse("there are ", outputs.size(), " outputs, must be ", output_count);
  Arrays arrays{std::vector<PortShape>(input_count), std::vector<Port>(input_count), std::vector<Port>(output_count)};
  const auto input = [&](std::size_t i) -> const PortOperation& { return engine.input(i); };
  const auto output = [&](std::size_t i) -> const PortOperation& { return engine.output(i); };
  for (std::size_t i = 0; i < inputs.size(); ++i) {
    const std::size_t at = position(inputs[i], i, input_count, "input", input);
    if (arrays.inputs[at].data != nullptr) refuse(input(at).name, ": is given twice");
    check_shape(input(at).name, inputs[i].shape, engine.tensor(input(at)));
    arrays.inputs[at] = port_of(input(at).name, inputs[i], inputs[i].shape);
    arrays.shapes[at] = {inputs[i].shape.images, {inputs[i].shape.height, inputs[i].shape.width}};
  }
  const std::vector<PortShape> results = engine.prepare(arrays.shapes);
  for (std::size_t i = 0; i < outputs.size(); ++i) {
    const std::size_t at = position(outputs[i], i, output_count, "output", output);
    if (arrays.outputs[at].data != nullptr) refuse(output(at).name, ": is given twice");
    const tilewise_shape shape{results[at].images, engine.tensor(output(at)).channels, results[at].size.height,
                               results[at].size.width};
    arrays.outputs[at] = port_of(output(at).name, outputs[i], shape);
  }
  return arrays;
}

}  // namespace
}  // namespace tilewise

using tilewise::guarded;
using tilewise::need;

const char* tilewise_version(void) { return TILEWISE_VERSION; }

tilewise_status tilewise_load(const char* path, const tilewise_options* options, tilewise_engine** engine,
                              tilewise_error* error) {
  return guarded(error, [&] {
    need(path, "path");
    const auto content = tilewise::content_of(path);
    try {
      tilewise::load(content, options, engine);
    } catch (const std::invalid_argument& fault) {
      tilewise::refuse(path, ": ", fault.what());
    }
  });
}

tilewise_status tilewise_load_memory(const void* data, size_t bytes, const tilewise_options* options,
                                     tilewise_engine** engine, tilewise_error* error) {
  return guarded(error, [&] {
    need(data, "data");
    const auto* const begin = static_cast<const std::byte*>(data);
    if (reinterpret_cast<std::uintptr_t>(data) % 8 == 0) return tilewise::load({begin, bytes}, options, engine);
    const tilewise::AlignedVector<std::byte> content(begin, begin + bytes);
    tilewise::load(content, options, engine);
  });
}

tilewise_status tilewise_share(const tilewise_engine* engine, int threads, tilewise_engine** another,
                               tilewise_error* error) {
  return guarded(error, [&] {
    need(another, "another");
    *another = nullptr;
    need(engine, "engine");
    *another = new tilewise_engine{tilewise::Engine(engine->engine, tilewise::threads_of(threads))};
  });
}

void tilewise_free(tilewise_engine* engine) { delete engine; }

const char* tilewise_kernel_set(const tilewise_engine* engine) { return engine->engine.set().name; }
int tilewise_threads(const tilewise_engine* engine) { return engine->engine.threads(); }
size_t tilewise_activation_bytes(const tilewise_engine* engine) { return engine->engine.arena_bytes(); }
size_t tilewise_input_count(const tilewise_engine* engine) { return engine->engine.program().inputs().size(); }
size_t tilewise_output_count(const tilewise_engine* engine) { return engine->engine.program().outputs().size(); }

tilewise_status tilewise_input(const tilewise_engine* engine, size_t number, tilewise_port* port, tilewise_error* error) {
  return guarded(error, [&] {
    need(port, "port");
    const std::size_t count = tilewise_input_count(engine);
    if (number >= count) tilewise::refuse("there is no input ", number, ", must be below ", count);
    *port = tilewise::describe(engine->engine, engine->engine.input(number));
  });
}

tilewise_status tilewise_output(const tilewise_engine* engine, size_t number, tilewise_port* port,
                                tilewise_error* error) {
  return guarded(error, [&] {
    need(port, "port");
    const std::size_t count = tilewise_output_count(engine);
    if (number >= count) tilewise::refuse("there is no output ", number, ", must be below ", count);
    *port = tilewise::describe(engine->engine, engine->engine.output(number));
  });
}

tilewise_status tilewise_prepare(tilewise_engine* engine, const tilewise_shape* inputs, size_t input_count,
                                 tilewise_shape* outputs, size_t output_count, tilewise_error* error) {
  return guarded(error, [&] {
    need(inputs, "inputs");
    tilewise::Engine& own = engine->engine;
    const auto shapes = tilewise::shapes_of(own, {inputs, input_count});
    if (output_count != tilewise_output_count(engine))
      tilewise::refuse("there are ", output_count, " outputs, must be ", tilewise_output_count(engine));
    need(outputs, "outputs");
    const auto results = own.prepare(shapes);
    for (std::size_t i = 0; i < output_count; ++i)
      outputs[i] = {results[i].images, own.tensor(own.output(i)).channels, results[i].size.height, results[i].size.width};
  });
}

tilewise_status tilewise_memory(const tilewise_engine* engine, const tilewise_shape* inputs, size_t input_count,
                                size_t* bytes, tilewise_error* error) {
  return guarded(error, [&] {
    need(inputs, "inputs");
    need(bytes, "bytes");
    const auto shapes = tilewise::shapes_of(engine->engine, {inputs, input_count});
    *bytes = static_cast<std::size_t>(engine->engine.memory(shapes));
  });
}

tilewise_status tilewise_run(tilewise_engine* engine, const tilewise_array* inputs, size_t input_count,
                             const tilewise_array* outputs, size_t output_count, tilewise_error* error) {
  return guarded(error, [&] {
    need(inputs, "inputs");
    need(outputs, "outputs");
    const auto arrays = tilewise::arrays_of(engine->engine, {inputs, input_count}, {outputs, output_count});
    engine->engine.run(arrays.shapes, arrays.inputs, arrays.outputs);
  });
}

tilewise_status tilewise_measure(tilewise_engine* engine, const tilewise_array* inputs, size_t input_count,
                                 const tilewise_array* outputs, size_t output_count, int64_t repeats,
                                 tilewise_profile** profile, tilewise_error* error) {
  return guarded(error, [&] {
    need(inputs, "inputs");
    need(outputs, "outputs");
    need(profile, "profile");
    *profile = nullptr;
    const auto arrays = tilewise::arrays_of(engine->engine, {inputs, input_count}, {outputs, output_count});
    auto made = std::make_unique<tilewise_profile>();
    made->operations = engine->engine.profile(arrays.shapes, arrays.inputs, arrays.outputs, repeats);
    for (const tilewise::OperationProfile& op : made->operations) {
      made->timings.push_back({.name = op.name.c_str(),
                               .operation = op.kind.c_str(),
                               .kernel = op.kernel.c_str(),
                               .algorithm = op.algorithm.c_str(),
                               .seconds = op.seconds,
                               .input_transform = op.stages.input_transform,
                               .requantize = op.stages.requantize,
                               .multiply = op.stages.multiply,
                               .output_transform = op.stages.output_transform,
                               .operations = op.operations,
                               .bytes = op.bytes});
    }
    *profile = made.release();
  });
}

size_t tilewise_timing_count(const tilewise_profile* profile) { return profile->timings.size(); }
const tilewise_timing* tilewise_timings(const tilewise_profile* profile) { return profile->timings.data(); }
void tilewise_free_profile(tilewise_profile* profile) { delete profile; }
