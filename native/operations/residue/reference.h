// The same sums as the direct convolution's, by definition.
#pragma once

#include <memory>

#include "operations/direct/reference.h"
#include "operations/residue/params.h"

namespace tilewise::reference {

inline std::unique_ptr<Op> make_residue_int8(const ResidueConv& conv) { return make_direct_int8(conv); }

}  // namespace tilewise::reference
