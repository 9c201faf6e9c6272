#include "program/sizes.h"

#include "base/check.h"
#include "program/limits.h"

namespace tilewise {

const PortOperation& input_of(const Program& program, std::size_t number) {
  return static_cast<const PortOperation&>(*program.operations()[program.inputs()[number]]);
}

const PortOperation& output_of(const Program& program, std::size_t number) {
  return static_cast<const PortOperation&>(*program.operations()[program.outputs()[number]]);
}

std::vector<Size> infer_sizes(const Program& program, std::span<const PortShape> inputs) {
  if (inputs.size() != program.inputs().size())
    refuse("there are ", inputs.size(), " inputs, must be ", program.inputs().size());
  std::vector<Size> sizes(program.tensors().size());
  for (std::size_t i = 0; i < inputs.size(); ++i) {
    const PortOperation& input = input_of(program, i);
    if (inputs[i].images != inputs[0].images) {
      refuse(input.name, ": has ", inputs[i].images, " images, must have ", inputs[0].images, " as ",
             input_of(program, 0).name);
    }
    sizes[static_cast<std::size_t>(input.tensor)] = inputs[i].size;
  }
  if (inputs[0].images < 1) refuse("the number of images is ", inputs[0].images, ", must be at least 1");
  for (const auto& operation : program.operations()) {
    const Size size = operation->size(sizes);
    if (operation->written == kNoTensor) continue;
    check_range(operation->name, "the height of its result", size.height, 1, kMaxExtent);
    check_range(operation->name, "the width of its result", size.width, 1, kMaxExtent);
    sizes[static_cast<std::size_t>(operation->written)] = size;
  }
  return sizes;
}

}  // namespace tilewise
