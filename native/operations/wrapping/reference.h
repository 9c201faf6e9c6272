// The same sums as the direct convolution's, by definition.
#pragma once

#include <memory>

#include "operations/direct/reference.h"
#include "operations/wrapping/params.h"

namespace tilewise::reference {

inline std::unique_ptr<Op> make_wrapping_int8(const WrappingConv& conv) { return make_direct_int8(conv); }

}  // namespace tilewise::reference
