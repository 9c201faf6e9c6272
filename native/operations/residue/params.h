#pragma once

#include <cstdint>
#include <vector>

#include "operations/direct/params.h"
#include "operations/residue/arithmetic.h"

namespace tilewise {

// A direct convolution of bytes by int8 weights, with the same sums, by residues (arithmetic.h): as bytes where all moduli are up to residue::kLargestByteModulus,
// as int16 else; sums of products of residues below 2^31, |sum| at most 15/32 of the product of the moduli.
struct ResidueConv : DirectConv {
  residue::Sizes sizes;
  std::vector<std::int32_t> moduli;
  std::int64_t block = 0;  // as FastConv's
};

}  // namespace tilewise
