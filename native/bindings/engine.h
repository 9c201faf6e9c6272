// The engine for Python, over the C interface: NumPy arrays come in and results go out without a copy.
#pragma once

#include <nanobind/nanobind.h>

namespace tilewise {

// Adds the class Engine to the module.
void bind_engine(nanobind::module_& module);

}  // namespace tilewise
