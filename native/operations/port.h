// What the engine asks the inputs and outputs of a program.
#pragma once

#include <cstdint>
#include <vector>

#include "program/operation.h"

namespace tilewise {

class PortOperation : public Operation {
 public:
  std::int64_t tensor = kNoTensor;
  std::size_t port = 0;  // its number among the inputs, or the outputs
  // Of an input: the height and width that it must have (0: any), or be multiples of.
  std::int64_t fixed[2] = {0, 0}, multiple[2] = {1, 1};
  // Of an output that callers do not see as [N, C, H, W]: the axes that they see instead, after the images; whether
  // its numbers come pixel by pixel then; and how many values it must have (0: any number).
  struct Extent {
    std::int64_t multiple, divisor, rows, columns;  // multiple * height if rows * width if columns / divisor
  };
  bool flat = false;
  std::vector<Extent> axes;
  bool channels_last = false;
  std::int64_t values = 0;
};

}  // namespace tilewise
