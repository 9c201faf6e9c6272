// What the engine asks the inputs and outputs of a program.
#pragma once

#include <cstdint>

#include "program/operation.h"

namespace tilewise {

class PortOperation : public Operation {
 public:
  std::int64_t tensor = kNoTensor;
  std::size_t port = 0;  // its number among the inputs, or the outputs
  // Of an input: the height and width that it must have (0: any), or be multiples of.
  std::int64_t fixed[2] = {0, 0}, multiple[2] = {1, 1};
  // Of an output: whether callers see it as [N, C*H*W], and how many values it must have then (0: any number).
  bool flat = false;
  std::int64_t values = 0;
};

}  // namespace tilewise
