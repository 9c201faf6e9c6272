// Training for Python: arrays of torch tensors' memory, results written in place.
#pragma once

#include <nanobind/nanobind.h>

namespace tilewise {

// Adds the class Training to the module.
void bind_training(nanobind::module_& module);

}  // namespace tilewise
