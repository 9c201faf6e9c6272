// What a set's instructions may be extended by.
#pragma once

#include <memory>

#include "kernels/set.h"

namespace tilewise {

// The bf16 convolutions of machines with an instruction for them.
struct Bf16Kernels {
  bool (*supported)();
  std::unique_ptr<Op> (*direct)(const DirectConv&);
  std::unique_ptr<Op> (*fast)(const FastConv&);
};

}  // namespace tilewise
