// Which named algorithm a convolution's matrices belong to: each transform for itself, as a learned algorithm
// may have kept one of them.
#pragma once

#include <algorithm>

#include "kernels/op.h"
#include "kernels/tiles.h"
#include "kernels/winograd/output_order.h"
#include "operations/fast/params.h"

namespace tilewise::TILEWISE_SET {

template <class Algorithm>
bool has_input_of(const FastConv& conv) {
  if constexpr (kMixes<Algorithm>) {
    return conv.planar && winograd::planar_input(conv.bt) == Algorithm::name;
  } else {
    return !conv.planar && conv.n == Algorithm::n && std::ranges::equal(conv.bt, Algorithm::bt);
  }
}
template <class Algorithm>
bool has_output_of(const FastConv& conv) {
  if constexpr (kMixes<Algorithm>) {
    return conv.planar && winograd::planar_output(conv.at) == Algorithm::name;
  } else {
    return !conv.planar && conv.n == Algorithm::n && std::ranges::equal(conv.at, Algorithm::at);
  }
}

}  // namespace tilewise::TILEWISE_SET
