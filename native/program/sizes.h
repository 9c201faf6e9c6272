// The sizes of a program's tensors, from those of the images that go in.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "operations/port.h"
#include "program/program.h"

namespace tilewise {

// Images, or results, of a call: N of them, of this size.
struct PortShape {
  std::int64_t images = 0;
  Size size;
};

const PortOperation& input_of(const Program& program, std::size_t number);
const PortOperation& output_of(const Program& program, std::size_t number);

// The sizes of all tensors, by number. Throws std::invalid_argument naming the operation and what it needs.
std::vector<Size> infer_sizes(const Program& program, std::span<const PortShape> inputs);

}  // namespace tilewise
