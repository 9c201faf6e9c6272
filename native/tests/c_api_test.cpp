// The C interface: every function, every status, names, layouts, types, null pointers. Nothing throws.
#include "c_api/tilewise.h"

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <limits>
#include <memory>
#include <string>
#include <vector>

#ifndef __SANITIZE_ADDRESS__
#include <sys/resource.h>
#endif

#include "base/machine.h"
#include "kernels/set.h"
#include "tests/check.h"
#include "tests/small_network.h"

#ifdef __SANITIZE_ADDRESS__
// More is not there: the sanitizer then gives null, as an allocator does, instead of ending the program.
extern "C" __attribute__((visibility("default"))) const char* __asan_default_options() { return "allocator_may_return_null=1:max_allocation_size_mb=4096"; }
#endif

namespace tilewise::testing {
namespace {

struct Free {
  void operator()(tilewise_engine* engine) const { tilewise_free(engine); }
};
using Engine = std::unique_ptr<tilewise_engine, Free>;

const Content kFile = small_network(true).file();

// The call gives this status, and if it is none of success says why in words that contain `part`.
template <typename Call>
void expect(tilewise_status status, const std::string& part, const Call& call) {
  tilewise_error error;
  std::memset(&error, 'x', sizeof error);
  CHECK(call(&error) == status, part);
  if (status == TILEWISE_OK) return;
  CHECK(std::memchr(error.message, '\0', sizeof error.message) != nullptr, part);
  CHECK(std::string(error.message).find(part) != std::string::npos, part + ": " + error.message);
  CHECK(call(nullptr) == status, part + ", which nobody wants to read");
}

Engine load(tilewise_options options = {}) {
  tilewise_engine* engine = nullptr;
  expect(TILEWISE_OK, "load", [&](tilewise_error* error) {
    return tilewise_load_memory(kFile.data(), kFile.size(), &options, &engine, error);
  });
  return Engine(engine);
}

// Images of one size, and memory for their results.
struct Arrays {
  std::vector<float> image, guide, logits;
  std::vector<std::uint8_t> image_bytes, map;
  tilewise_shape image_shape, guide_shape;
  std::vector<tilewise_array> inputs, outputs;

  Arrays(std::int64_t images, std::int64_t height, std::int64_t width)
      : image_shape{images, kImageChannels, height, width}, guide_shape{images, kGuideChannels, height, width} {
    const auto count = [&](std::int64_t channels) { return static_cast<std::size_t>(images * channels * height * width); };
    for (std::size_t i = 0; i < count(kImageChannels); ++i) {
      image_bytes.push_back(static_cast<std::uint8_t>(i * 37 % 251));
      image.push_back(static_cast<float>(image_bytes.back()));
    }
    for (std::size_t i = 0; i < count(kGuideChannels); ++i) guide.push_back(static_cast<float>(i % 13) / 13);
    logits.resize(static_cast<std::size_t>(images * kLogits), std::nanf(""));
    map.resize(count(kMapChannels), 0xA5);
    inputs = {array("image", image, TILEWISE_FLOAT32, image_shape), array("guide", guide, TILEWISE_FLOAT32, guide_shape)};
    outputs = {array("logits", logits, TILEWISE_FLOAT32, {}), array("map", map, TILEWISE_UINT8, {})};
  }

  template <typename T>
  static tilewise_array array(const char* name, std::vector<T>& values, tilewise_dtype dtype, const tilewise_shape& shape) {
    return {.name = name, .data = values.data(), .bytes = values.size() * sizeof(T), .dtype = dtype, .layout = TILEWISE_NCHW, .shape = shape};
  }

  tilewise_status run(tilewise_engine* engine, tilewise_error* error) {
    return tilewise_run(engine, inputs.data(), inputs.size(), outputs.data(), outputs.size(), error);
  }
  tilewise_status measure(tilewise_engine* engine, std::int64_t repeats, tilewise_profile** profile, tilewise_error* error) {
    return tilewise_measure(engine, inputs.data(), inputs.size(), outputs.data(), outputs.size(), repeats, profile, error);
  }
};

// [N][C][H][W] as [N][H][W][C].
template <typename T>
std::vector<T> channels_last(const std::vector<T>& values, const tilewise_shape& shape) {
  std::vector<T> result;
  const std::int64_t pixels = shape.height * shape.width;
  for (std::int64_t n = 0; n < shape.images; ++n) {
    for (std::int64_t pixel = 0; pixel < pixels; ++pixel) {
      for (std::int64_t c = 0; c < shape.channels; ++c)
        result.push_back(values[static_cast<std::size_t>((n * shape.channels + c) * pixels + pixel)]);
    }
  }
  return result;
}

void test_load() {
  CHECK(std::string(tilewise_version()).find('.') != std::string::npos, tilewise_version());
  tilewise_engine* engine = nullptr;
  const auto memory = [&](const void* data, std::size_t bytes, const tilewise_options* options) {
    return [=, &engine](tilewise_error* error) {
      engine = reinterpret_cast<tilewise_engine*>(&engine);  // a refusal leaves null
      const tilewise_status status = tilewise_load_memory(data, bytes, options, &engine, error);
      CHECK(status == TILEWISE_OK || data == nullptr || engine == nullptr, "a refusal leaves no engine");
      return status;
    };
  };
  expect(TILEWISE_OK, "", memory(kFile.data(), kFile.size(), nullptr));
  CHECK(tilewise_threads(engine) == 1 && kernel_set("").name == std::string(tilewise_kernel_set(engine)), "defaults");
  tilewise_free(engine);
  tilewise_free(nullptr);
  expect(TILEWISE_INVALID, "data is null, must not be", memory(nullptr, 10, nullptr));
  expect(TILEWISE_INVALID, "it has 0 bytes", memory(kFile.data(), 0, nullptr));
  expect(TILEWISE_INVALID, "does not lie where", memory(kFile.data(), kFile.size() - 64, nullptr));
  expect(TILEWISE_INVALID, "engine is null, must not be", [](tilewise_error* error) {
    return tilewise_load_memory(kFile.data(), kFile.size(), nullptr, nullptr, error);
  });
  const std::string cores_text = ", must be 1.." + std::to_string(cores());
  const tilewise_options too_many{.threads = cores() + 1, .kernel_set = nullptr, .batch = 0};
  const tilewise_options negative{.threads = -1, .kernel_set = nullptr, .batch = 0};
  const tilewise_options other_set{.threads = 0, .kernel_set = "z80", .batch = 0};
  const tilewise_options no_batch{.threads = 0, .kernel_set = nullptr, .batch = -3};
  expect(TILEWISE_INVALID, "threads is " + std::to_string(cores() + 1) + cores_text, memory(kFile.data(), kFile.size(), &too_many));
  expect(TILEWISE_INVALID, "threads is -1" + cores_text, memory(kFile.data(), kFile.size(), &negative));
  expect(TILEWISE_INVALID, "unknown kernel set z80", memory(kFile.data(), kFile.size(), &other_set));
  expect(TILEWISE_INVALID, "batch is -3, must be 1..65536", memory(kFile.data(), kFile.size(), &no_batch));
  // At any address.
  std::vector<std::byte> moved(kFile.size() + 1);
  std::copy(kFile.begin(), kFile.end(), moved.begin() + 1);
  expect(TILEWISE_OK, "", memory(moved.data() + 1, kFile.size(), nullptr));
  tilewise_free(engine);
}

void test_load_path() {
  const std::string path = "c_api_test_" + std::to_string(reinterpret_cast<std::uintptr_t>(&kFile)) + ".tilewise";
  const auto write = [&](std::size_t bytes) {
    std::ofstream(path, std::ios::binary).write(reinterpret_cast<const char*>(kFile.data()), static_cast<std::streamsize>(bytes));
  };
  tilewise_engine* engine = nullptr;
  const auto load_path = [&](const char* name) {
    return [=, &engine](tilewise_error* error) { return tilewise_load(name, nullptr, &engine, error); };
  };
  write(kFile.size());
  expect(TILEWISE_OK, "", load_path(path.c_str()));
  Arrays from_path(1, 5, 6), from_memory(1, 5, 6);
  CHECK(from_path.run(engine, nullptr) == TILEWISE_OK && from_memory.run(load().get(), nullptr) == TILEWISE_OK, "run");
  CHECK(from_path.map == from_memory.map && from_path.logits == from_memory.logits, "from a path as from memory");
  tilewise_free(engine);
  write(100);
  expect(TILEWISE_INVALID, path + ": it is no compiled network", load_path(path.c_str()));
  std::remove(path.c_str());
  expect(TILEWISE_NO_FILE, path + ": the file cannot be read", load_path(path.c_str()));
  expect(TILEWISE_NO_FILE, "/: the file cannot be read", load_path("/"));
  expect(TILEWISE_INVALID, "path is null, must not be", load_path(nullptr));
  const std::string endless(5000, 'p');
  expect(TILEWISE_NO_FILE, std::string(1023, 'p'), load_path(endless.c_str()));  // cut off
}

void test_options() {
  const Engine engine = load({.threads = 0, .kernel_set = "reference", .batch = 2});
  CHECK(tilewise_kernel_set(engine.get()) == std::string("reference"), "kernel set");
  setenv("TILEWISE_ISA", "portable", 1);
  CHECK(tilewise_kernel_set(load().get()) == std::string("portable"), "TILEWISE_ISA");
  CHECK(tilewise_kernel_set(load({.threads = 0, .kernel_set = "reference", .batch = 0}).get()) == std::string("reference"), "options come first");
  setenv("TILEWISE_ISA", "z80", 1);
  tilewise_engine* none = nullptr;
  expect(TILEWISE_INVALID, "unknown kernel set z80", [&](tilewise_error* error) {
    return tilewise_load_memory(kFile.data(), kFile.size(), nullptr, &none, error);
  });
  unsetenv("TILEWISE_ISA");
  const int most = std::min(cores(), 2);
  CHECK(tilewise_threads(load({.threads = most, .kernel_set = nullptr, .batch = 0}).get()) == most, "threads");
}

void test_share() {
  Engine engine = load({.threads = 0, .kernel_set = "portable", .batch = 2});
  tilewise_engine* another = nullptr;
  const auto share = [&](const tilewise_engine* of, int threads, tilewise_engine** to) {
    return [=](tilewise_error* error) { return tilewise_share(of, threads, to, error); };
  };
  CHECK(tilewise_share(engine.get(), 0, &another, nullptr) == TILEWISE_OK, "share");
  const Engine shared(another);
  Arrays one(3, 5, 6), other(3, 5, 6);
  CHECK(one.run(engine.get(), nullptr) == TILEWISE_OK, "run");
  engine.reset();
  CHECK(other.run(shared.get(), nullptr) == TILEWISE_OK && one.map == other.map && one.logits == other.logits, "the same");
  CHECK(tilewise_kernel_set(shared.get()) == std::string("portable") && tilewise_threads(shared.get()) == 1, "as its origin");
  tilewise_engine* none = nullptr;
  expect(TILEWISE_INVALID, "threads is -1, must be 1..", share(shared.get(), -1, &none));
  expect(TILEWISE_INVALID, "engine is null", share(nullptr, 1, &none));
  expect(TILEWISE_INVALID, "another is null", share(shared.get(), 1, nullptr));
}

void test_ports() {
  const Engine engine = load();
  CHECK(tilewise_input_count(engine.get()) == 2 && tilewise_output_count(engine.get()) == 2, "counts");
  tilewise_port port;
  expect(TILEWISE_OK, "", [&](tilewise_error* error) { return tilewise_input(engine.get(), 0, &port, error); });
  CHECK(port.name == std::string("image") && port.channels == kImageChannels && port.height == 0 && port.width == 0 &&
            port.height_multiple == 1 && port.width_multiple == 1,
        "image");
  expect(TILEWISE_OK, "", [&](tilewise_error* error) { return tilewise_output(engine.get(), 0, &port, error); });
  CHECK(port.name == std::string("logits") && port.channels == kLogits && port.flat == 1 && port.channels_last == 0 && port.axis_count == 1 && port.axes[0][0] == kLogits && port.stored == TILEWISE_FLOAT32, "logits");
  expect(TILEWISE_OK, "", [&](tilewise_error* error) { return tilewise_output(engine.get(), 1, &port, error); });
  CHECK(port.name == std::string("map") && port.flat == 0 && port.stored == TILEWISE_UINT8 && port.step == 0.02F && port.zero_point == 128, "map");
  expect(TILEWISE_INVALID, "there is no input 2, must be below 2", [&](tilewise_error* error) { return tilewise_input(engine.get(), 2, &port, error); });
  expect(TILEWISE_INVALID, "there is no output 2, must be below 2", [&](tilewise_error* error) { return tilewise_output(engine.get(), 2, &port, error); });
  expect(TILEWISE_INVALID, "port is null", [&](tilewise_error* error) { return tilewise_input(engine.get(), 0, nullptr, error); });
  expect(TILEWISE_INVALID, "port is null", [&](tilewise_error* error) { return tilewise_output(engine.get(), 0, nullptr, error); });
}

void test_prepare() {
  const Engine engine = load();
  const tilewise_shape valid[] = {{5, kImageChannels, 13, 11}, {5, kGuideChannels, 13, 11}};
  tilewise_shape outputs[2] = {};
  const auto prepare = [&](const tilewise_shape* in, std::size_t in_count, tilewise_shape* out, std::size_t out_count) {
    return [=, &engine](tilewise_error* error) { return tilewise_prepare(engine.get(), in, in_count, out, out_count, error); };
  };
  expect(TILEWISE_OK, "", prepare(valid, 2, outputs, 2));
  const auto is = [](const tilewise_shape& shape, std::int64_t n, std::int64_t c, std::int64_t h, std::int64_t w) {
    return shape.images == n && shape.channels == c && shape.height == h && shape.width == w;
  };
  CHECK(is(outputs[0], 5, kLogits, 1, 1) && is(outputs[1], 5, kMapChannels, 13, 11), "shapes");
  expect(TILEWISE_INVALID, "inputs is null", prepare(nullptr, 2, outputs, 2));
  std::size_t bytes = 0;
  const auto memory = [&](const tilewise_shape* in, std::size_t* found) {
    return [=, &engine](tilewise_error* error) { return tilewise_memory(engine.get(), in, 2, found, error); };
  };
  expect(TILEWISE_OK, "", memory(valid, &bytes));
  CHECK(bytes == tilewise_activation_bytes(engine.get()), "memory of what is prepared");
  const tilewise_shape larger[] = {{5, kImageChannels, 26, 22}, {5, kGuideChannels, 26, 22}};
  expect(TILEWISE_OK, "", memory(larger, &bytes));
  CHECK(bytes > tilewise_activation_bytes(engine.get()), "memory of what is not");
  expect(TILEWISE_INVALID, "inputs is null", memory(nullptr, &bytes));
  expect(TILEWISE_INVALID, "bytes is null", memory(valid, nullptr));
  expect(TILEWISE_INVALID, "outputs is null", prepare(valid, 2, nullptr, 2));
  expect(TILEWISE_INVALID, "there are 1 inputs, must be 2", prepare(valid, 1, outputs, 2));
  expect(TILEWISE_INVALID, "there are 3 outputs, must be 2", prepare(valid, 2, outputs, 3));
  const auto bad = [&](const std::string& part, const auto& change) {
    tilewise_shape shapes[] = {valid[0], valid[1]};
    change(shapes);
    expect(TILEWISE_INVALID, part, prepare(shapes, 2, outputs, 2));
  };
  bad("image: has 4 channels, must have 3", [](tilewise_shape* s) { s[0].channels = 4; });
  bad("guide: has 4 images, must have 5 as image", [](tilewise_shape* s) { s[1].images = 4; });
  bad("guide: an extent is 0, must be at least 1", [](tilewise_shape* s) { s[1].height = 0; });
  bad("image: an extent is -9223372036854775808, must be", [](tilewise_shape* s) { s[0].images = std::numeric_limits<std::int64_t>::min(); });
  bad("image: an extent is 9223372036854775807, must be", [](tilewise_shape* s) { s[0].width = std::numeric_limits<std::int64_t>::max(); });
  bad("image: the height of the images is 65537, must be 1..65536", [](tilewise_shape* s) { s[0].height = s[1].height = 65537; });
}

// By name and by position, in any order; as float32 and uint8; channels first and last.
void test_run() {
  const Engine engine = load();
  Arrays a(3, 9, 12);
  expect(TILEWISE_OK, "", [&](tilewise_error* error) { return a.run(engine.get(), error); });
  const std::vector<float> logits = a.logits;
  const std::vector<std::uint8_t> map = a.map;
  CHECK(!std::ranges::any_of(logits, [](float v) { return std::isnan(v); }), "logits");
  CHECK(std::ranges::min(map) != std::ranges::max(map), "map");
  const auto again = [&](const std::string& text) {
    std::ranges::fill(a.logits, std::nanf("")), std::ranges::fill(a.map, std::uint8_t{0});
    expect(TILEWISE_OK, "", [&](tilewise_error* error) { return a.run(engine.get(), error); });
    CHECK(a.logits == logits && a.map == map, text);
  };
  std::ranges::reverse(a.inputs), std::ranges::reverse(a.outputs);
  again("by name, in another order");
  std::ranges::reverse(a.inputs), std::ranges::reverse(a.outputs);
  for (auto* const list : {&a.inputs, &a.outputs}) {
    for (tilewise_array& array : *list) array.name = nullptr;
  }
  again("by position");
  std::vector<float> image_last = channels_last(a.image, a.image_shape);
  a.inputs[0].data = image_last.data(), a.inputs[0].layout = TILEWISE_NHWC;
  again("channels last");
  std::vector<std::uint8_t> bytes_last = channels_last(a.image_bytes, a.image_shape);
  a.inputs[0].data = bytes_last.data(), a.inputs[0].bytes = bytes_last.size(), a.inputs[0].dtype = TILEWISE_UINT8;
  again("bytes, channels last");
  a.inputs[0].data = a.image_bytes.data(), a.inputs[0].layout = TILEWISE_NCHW;
  again("bytes");
  const tilewise_shape map_shape{3, kMapChannels, 9, 12};
  a.outputs[1].layout = TILEWISE_NHWC;
  expect(TILEWISE_OK, "", [&](tilewise_error* error) { return a.run(engine.get(), error); });
  CHECK(a.map == channels_last(map, map_shape), "results with the channels last");
  std::vector<float> real(map.size());
  a.outputs[1] = Arrays::array("map", real, TILEWISE_FLOAT32, {});
  expect(TILEWISE_OK, "", [&](tilewise_error* error) { return a.run(engine.get(), error); });
  for (std::size_t i = 0; i < map.size(); ++i) CHECK(real[i] == static_cast<float>(map[i] - 128) * 0.02F, "as real numbers");
}

// What C allows, and C++ does not know.
template <typename Enum>
void set_number(Enum& value, int number) {
  static_assert(sizeof value == sizeof number);
  std::memcpy(&value, &number, sizeof number);
}

void test_refusals() {
  const Engine engine = load();
  const auto bad = [&](const std::string& part, const auto& change) {
    Arrays a(2, 6, 7);
    change(a);
    expect(TILEWISE_INVALID, part, [&](tilewise_error* error) { return a.run(engine.get(), error); });
    tilewise_profile* profile = nullptr;
    expect(TILEWISE_INVALID, part, [&](tilewise_error* error) { return a.measure(engine.get(), 1, &profile, error); });
    CHECK(profile == nullptr, part);
  };
  bad("there are 1 inputs, must be 2", [](Arrays& a) { a.inputs.pop_back(); });
  bad("there are 3 outputs, must be 2", [](Arrays& a) { a.outputs.push_back(a.outputs[0]); });
  bad("there is no input picture, must be image, guide", [](Arrays& a) { a.inputs[0].name = "picture"; });
  bad("there is no output heat, must be logits, map", [](Arrays& a) { a.outputs[0].name = "heat"; });
  bad("image: is given twice", [](Arrays& a) { a.inputs[1] = a.inputs[0]; });
  bad("map: is given twice", [](Arrays& a) { a.outputs[0] = a.outputs[1]; });
  bad("image: data is null, must not be", [](Arrays& a) { a.inputs[0].data = nullptr; });
  bad("logits: data is null, must not be", [](Arrays& a) { a.outputs[0].data = nullptr; });
  bad("image: has 1007 bytes, must have 1008", [](Arrays& a) { --a.inputs[0].bytes; });
  bad("map: has 253 bytes, must have 252", [](Arrays& a) { ++a.outputs[1].bytes; });
  bad("image: dtype is 2, must be TILEWISE_UINT8, TILEWISE_INT16 or TILEWISE_FLOAT32",
      [](Arrays& a) { set_number(a.inputs[0].dtype, 2); });
  bad("map: dtype is 77, must be", [](Arrays& a) { set_number(a.outputs[1].dtype, 77); });
  bad("image: layout is 2, must be TILEWISE_NCHW or TILEWISE_NHWC",
      [](Arrays& a) { set_number(a.inputs[0].layout, 2); });
  bad("image: is int16, must be float32 or uint8",
      [](Arrays& a) { a.inputs[0].dtype = TILEWISE_INT16, a.inputs[0].bytes = 504; });
  bad("logits: is asked for as uint8, must be float32",
      [](Arrays& a) { a.outputs[0].dtype = TILEWISE_UINT8, a.outputs[0].bytes = 20; });
  bad("logits: is no map, must be asked for with the channels first", [](Arrays& a) { a.outputs[0].layout = TILEWISE_NHWC; });
  bad("image and map share memory", [](Arrays& a) { a.outputs[1].data = a.image.data(); });
  bad("image: has 4 channels, must have 3", [](Arrays& a) { a.inputs[0].shape.channels = 4; });
  bad("image: an extent is 0, must be at least 1", [](Arrays& a) { a.inputs[0].shape.images = 0; });
  bad("image: has", [](Arrays& a) { a.inputs[0].shape.images = 2147483647; });
  bad("guide: has 1 images, must have 2 as image", [](Arrays& a) { a.inputs[1].shape.images = 1, a.inputs[1].bytes /= 2; });
  Arrays a(1, 4, 4);
  tilewise_profile* profile = nullptr;
  expect(TILEWISE_INVALID, "inputs is null", [&](tilewise_error* error) {
    return tilewise_run(engine.get(), nullptr, 2, a.outputs.data(), 2, error);
  });
  expect(TILEWISE_INVALID, "outputs is null", [&](tilewise_error* error) {
    return tilewise_run(engine.get(), a.inputs.data(), 2, nullptr, 2, error);
  });
  expect(TILEWISE_INVALID, "inputs is null", [&](tilewise_error* error) {
    return tilewise_measure(engine.get(), nullptr, 2, a.outputs.data(), 2, 1, &profile, error);
  });
  expect(TILEWISE_INVALID, "profile is null", [&](tilewise_error* error) { return a.measure(engine.get(), 1, nullptr, error); });
  expect(TILEWISE_INVALID, "repeats is 0, must be 1..10000", [&](tilewise_error* error) { return a.measure(engine.get(), 0, &profile, error); });
  expect(TILEWISE_OK, "", [&](tilewise_error* error) { return a.run(engine.get(), error); });  // the engine goes on
}

void test_measure() {
  const Engine engine = load();
  Arrays a(2, 8, 8), ran(2, 8, 8);
  tilewise_profile* profile = nullptr;
  expect(TILEWISE_OK, "", [&](tilewise_error* error) { return a.measure(engine.get(), 2, &profile, error); });
  expect(TILEWISE_OK, "", [&](tilewise_error* error) { return ran.run(engine.get(), error); });
  CHECK(a.logits == ran.logits && a.map == ran.map, "measured as run");
  Draft network = small_network(true);
  CHECK(tilewise_timing_count(profile) == network.operations().size(), "an entry for each operation");
  for (std::size_t i = 0; i < tilewise_timing_count(profile); ++i) {
    const tilewise_timing& timing = tilewise_timings(profile)[i];
    CHECK(timing.name == Draft::field(network.operations()[i], "name").text, timing.name);
    CHECK(timing.operation == Draft::field(network.operations()[i], "op").text, timing.name);
    CHECK(timing.seconds > 0 && timing.bytes > 0 && std::strlen(timing.kernel) > 0, timing.name);
    const bool fast = std::strlen(timing.algorithm) > 0;
    // The input transform's is a difference of two times, and may come out as nothing.
    CHECK((timing.multiply > 0) == fast && (timing.output_transform > 0) == fast, timing.name);
  }
  tilewise_free_profile(profile);
  tilewise_free_profile(nullptr);
}

// A size whose activations find no memory: a status, and the engine goes on with other sizes.
void test_no_memory() {
  const Engine engine = load({.threads = 0, .kernel_set = nullptr, .batch = 1});
  Arrays before(1, 6, 6), after(1, 6, 6);
  expect(TILEWISE_OK, "", [&](tilewise_error* error) { return before.run(engine.get(), error); });
  const tilewise_shape large[] = {{1, kImageChannels, 30000, 30000}, {1, kGuideChannels, 30000, 30000}};
  tilewise_shape outputs[2];
  expect(TILEWISE_NO_MEMORY, "bytes of activations",
         [&](tilewise_error* error) { return tilewise_prepare(engine.get(), large, 2, outputs, 2, error); });
  expect(TILEWISE_OK, "", [&](tilewise_error* error) { return after.run(engine.get(), error); });
  CHECK(before.logits == after.logits && before.map == after.map, "goes on");
}

}  // namespace
}  // namespace tilewise::testing

int main() {
  using namespace tilewise::testing;
#ifndef __SANITIZE_ADDRESS__
  const rlimit limit{rlim_t{4} << 30, rlim_t{4} << 30};
  setrlimit(RLIMIT_AS, &limit);
#endif
  test_load();
  test_load_path();
  test_options();
  test_share();
  test_ports();
  test_prepare();
  test_run();
  test_refusals();
  test_measure();
  test_no_memory();
}
