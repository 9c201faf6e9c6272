// The order of the sums of an output transform, which docs/contracts/numbers.md fixes, and the planar algorithms that
// have a name.
#pragma once

#include <span>
#include <string_view>
#include <vector>

namespace tilewise::winograd {

// A^T [m][n] times a column of n numbers, in binary32: named matrices run their program, others add up their
// rows from left to right; every product and sum is rounded on its own.
std::vector<float> apply_ordered(std::span<const float> at, std::span<const float> column);

// The name of the planar algorithm that has a program and this B^T [taps][t*t], or this A^T [m*m][taps]; empty if none.
std::string_view planar_input(std::span<const float> bt);
std::string_view planar_output(std::span<const float> at);

// A planar A^T [m*m][taps], whose name is that of planar_output, times all products of a tile; as apply_ordered.
std::vector<float> apply_ordered_tile(std::string_view name, std::span<const float> at, std::span<const float> products);

}  // namespace tilewise::winograd
