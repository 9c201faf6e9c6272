// Which tensors are some of the channels of a wider one, so that concatenations and slices of channels copy nothing:
// what makes a part of a concatenation writes it where it belongs, what reads a slice reads the whole.
#pragma once

#include <cstdint>
#include <vector>

#include "program/program.h"

namespace tilewise {

// The tensor in whose memory another one lies, and the channel where that one begins.
struct View {
  std::int64_t whole, first;

  bool operator==(const View&) const = default;
};

// By number of tensor; one that has memory of its own lies in itself. `whole` never lies in another one.
std::vector<View> views(const Program& program);

}  // namespace tilewise
