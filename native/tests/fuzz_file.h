// What fuzzers do with a file: it is refused in words, or loads and runs.
#ifndef TILEWISE_TESTS_FUZZ_FILE_H
#define TILEWISE_TESTS_FUZZ_FILE_H

#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <iostream>
#include <memory>
#include <vector>

#include "c_api/tilewise.h"
#include "program/program.h"
#include "program/sizes.h"
#include "tests/program_builder.h"

namespace tilewise::testing {

constexpr std::int64_t kMaxRunBytes = std::int64_t{1} << 21, kMaxRunOperations = std::int64_t{1} << 24;

struct Counts {
  std::int64_t refused = 0, loaded = 0, runs = 0, sizes_refused = 0, too_large = 0;
};

[[noreturn]] inline void fault(const char* text) {
  std::cerr << "fuzz: " << text << '\n';
  std::abort();
}

// A status that is allowed: success, or one that says why not.
inline bool worked(tilewise_status status, const tilewise_error& error) {
  if (status == TILEWISE_OK) return true;
  if (status != TILEWISE_INVALID && status != TILEWISE_NO_MEMORY) fault(error.message);
  if (error.message[0] == '\0') fault("a refusal without words");
  return false;
}

// Whether a run takes little time and memory.
inline bool is_small(const Program& program, const std::vector<tilewise_shape>& inputs) {
  std::vector<PortShape> shapes;
  for (const tilewise_shape& shape : inputs) shapes.push_back({shape.images, {shape.height, shape.width}});
  const std::vector<Size> sizes = infer_sizes(program, shapes);
  std::int64_t bytes = 0, operations = 0;
  for (std::size_t i = 0; i < sizes.size(); ++i)
    bytes += sizes[i].height * sizes[i].width * program.tensors()[i].stride * bytes_of(program.tensors()[i].dtype);
  for (const auto& operation : program.operations()) operations += std::min(operation->operations(sizes), kMaxRunOperations);
  return bytes <= kMaxRunBytes && operations <= kMaxRunOperations;
}

// Memory for an array of this shape, full of one byte, at an address of no alignment but its numbers'.
class Block {
 public:
  Block(const tilewise_shape& shape, tilewise_dtype dtype, tilewise_layout layout)
      : bytes_(static_cast<std::size_t>(shape.images * shape.channels * shape.height * shape.width *
                                        bytes_of(static_cast<Dtype>(dtype))),
               std::byte{0x3E}),
        array_{.name = nullptr, .data = bytes_.data(), .bytes = bytes_.size(), .dtype = dtype, .layout = layout, .shape = shape} {}
  const tilewise_array& array() const { return array_; }

 private:
  std::vector<std::byte> bytes_;
  tilewise_array array_;
};

inline void run(tilewise_engine* engine, const Program& program, std::int64_t number, Counts& counts) {
  const std::int64_t images = 1 + number % 3;  // of pieces of two
  for (const std::int64_t wanted : {std::int64_t{5}, std::int64_t{8}}) {
    std::vector<tilewise_shape> inputs, outputs(tilewise_output_count(engine));
    tilewise_error error;
    tilewise_port port;
    for (std::size_t i = 0; i < tilewise_input_count(engine); ++i) {
      if (!worked(tilewise_input(engine, i, &port, &error), error)) fault("an input that is not there");
      const auto extent = [&](std::int64_t fixed, std::int64_t multiple) {
        return fixed != 0 ? fixed : (wanted + multiple - 1) / multiple * multiple;
      };
      inputs.push_back({images, port.channels, extent(port.height, port.height_multiple), extent(port.width, port.width_multiple)});
    }
    if (!worked(tilewise_prepare(engine, inputs.data(), inputs.size(), outputs.data(), outputs.size(), &error), error)) {
      ++counts.sizes_refused;
      continue;
    }
    if (!is_small(program, inputs)) {
      ++counts.too_large;
      continue;
    }
    std::vector<Block> blocks;
    std::vector<tilewise_array> in, out;
    const tilewise_layout layout = number % 5 == 0 ? TILEWISE_NHWC : TILEWISE_NCHW;
    for (const tilewise_shape& shape : inputs) {
      blocks.emplace_back(shape, number % 4 == 0 ? TILEWISE_UINT8 : TILEWISE_FLOAT32, layout);
      in.push_back(blocks.back().array());
    }
    for (std::size_t i = 0; i < outputs.size(); ++i) {
      if (!worked(tilewise_output(engine, i, &port, &error), error)) fault("an output that is not there");
      blocks.emplace_back(outputs[i], number % 2 == 0 ? port.stored : TILEWISE_FLOAT32, port.flat ? port.channels_last ? TILEWISE_NHWC : TILEWISE_NCHW : layout);
      out.push_back(blocks.back().array());
    }
    if (!worked(tilewise_run(engine, in.data(), in.size(), out.data(), out.size(), &error), error)) fault(error.message);
    ++counts.runs;
  }
}

// The number chooses images, layout and types.
inline void try_file(const Content& content, const char* set, std::int64_t number, Counts& counts) {
  const tilewise_options options{.threads = 1, .kernel_set = set, .batch = 2};
  tilewise_engine* engine = nullptr;
  tilewise_error error;
  if (!worked(tilewise_load_memory(content.data(), content.size(), &options, &engine, &error), error)) {
    ++counts.refused;
    return;
  }
  ++counts.loaded;
  const std::unique_ptr<tilewise_engine, decltype(&tilewise_free)> owner(engine, tilewise_free);
  const Program program(content);
  run(engine, program, number, counts);
}

}  // namespace tilewise::testing

#endif
