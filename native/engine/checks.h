// What Plan checks about each operation on its own: sizes, ranges, values. Who reads and writes what is
// plan.cpp's. Each throws std::invalid_argument naming the operation, the value and what is allowed.
#pragma once

#include <cstdint>
#include <string>

#include "engine/plan.h"

namespace tilewise::checks {

inline constexpr std::int64_t kMaxExtent = 65536;  // of a tensor's axes, and of the batch
inline constexpr std::int64_t kMaxArena = std::int64_t{1} << 40;
inline constexpr std::int64_t kMaxInt32 = 2147483647;
inline constexpr std::int64_t kLaneGroup = 16;  // what strides are multiples of
inline constexpr std::int64_t kMaxKernel = 256;
inline constexpr std::int64_t kMaxStep = 1024;  // strides and dilations
inline constexpr std::int64_t kMaxFactor = 256;
inline constexpr std::int64_t kMaxBlock = 4096;  // tiles
inline constexpr std::size_t kMaxName = 256;
inline constexpr std::size_t kMaxCount = 16384;  // tensors, and operations

void range(const std::string& name, const char* what, std::int64_t value, std::int64_t low,
           std::int64_t high);
// The largest |q| of a tensor, or for floats 0.
std::int64_t largest_q(const TensorSpec& x);

void equal(const std::string& name, const char* what, std::int64_t value, std::int64_t expected,
           const char* meaning);
// Finite, one number per channel of y.
void vector(const std::string& name, const char* what, const FloatVector& values, std::int64_t channels);
void activation(const std::string& name, const Activation& activation);

// A name is quoted in errors, so it must be short; it need not be unique.
void operation_name(const std::string& name);

void algorithm_name(const std::string& name, const std::string& algorithm);

// Most operations neither read nor write bf16.
void no_bf16(const std::string& name, const char* role, const TensorSpec& spec);

// Gives the tensor with its grid's zero filled in.
TensorSpec tensor(std::int64_t number, const TensorSpec& spec, std::int64_t batch, std::int64_t arena_bytes);

void direct(const std::string& name, const DirectSpec& spec, const TensorSpec& x, const TensorSpec& y);
void fast(const std::string& name, const FastSpec& spec, const TensorSpec& x, const TensorSpec& y);
// What exact convolutions have of the direct one.
void integers(const std::string& name, const IntegerSpec& spec, const TensorSpec& x, const TensorSpec& y);
void exact(const std::string& name, const ExactSpec& spec, const TensorSpec& x, const TensorSpec& y);
void residue(const std::string& name, const ResidueSpec& spec, const TensorSpec& x, const TensorSpec& y);
void pool(const std::string& name, const PoolSpec& spec, const TensorSpec& x, const TensorSpec& y);
void eltwise(const std::string& name, const EltwiseSpec& spec, const TensorSpec& x, const TensorSpec& y);
void gather(const std::string& name, const GatherSpec& spec, const TensorSpec& x, const TensorSpec& y);
void pixel_shuffle(const std::string& name, std::int64_t factor, const TensorSpec& x, const TensorSpec& y);
void resize(const std::string& name, const ResizeSpec& spec, const TensorSpec& x, const TensorSpec& y);

}  // namespace tilewise::checks
