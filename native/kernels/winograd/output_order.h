// The order of the sums of an output transform, which docs/contracts/numbers.md fixes.
#pragma once

#include <span>
#include <vector>

namespace tilewise::winograd {

// A^T [m][n] times a column of n numbers, in binary32: named matrices run their program, others add up their
// rows from left to right; every product and sum is rounded on its own.
std::vector<float> apply_in_order(std::span<const float> at, std::span<const float> column);

}  // namespace tilewise::winograd
