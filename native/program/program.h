// A compiled network: tensors by name, and operations on them in the order in which they run. No sizes.
//
// A program may come from a file of unknown origin. It is checked as it is read, completely, so that no kernel has
// to; what a size decides is checked when the program is prepared for it. What breaks a rule throws
// std::invalid_argument, naming the operation, the value and what is allowed.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "program/operation.h"

namespace tilewise {

inline constexpr std::int64_t kProgramVersion = 4;

class Program {
 public:
  // `content` is a .tilewise file, at a multiple of 8 in memory. Arrays stay where they are: `content` must live
  // until drop_arrays().
  explicit Program(std::span<const std::byte> content);

  std::span<const TensorType> tensors() const { return tensors_; }
  std::span<const std::unique_ptr<Operation>> operations() const { return operations_; }
  // The operations "input" and "output", in their order.
  std::span<const std::size_t> inputs() const { return inputs_; }
  std::span<const std::size_t> outputs() const { return outputs_; }
  std::uint32_t checksum() const { return checksum_; }

  void drop_arrays();

 private:
  void check_wiring();
  void set_strides();

  std::vector<TensorType> tensors_;
  std::vector<std::unique_ptr<Operation>> operations_;
  std::vector<std::size_t> inputs_, outputs_;
  std::uint32_t checksum_ = 0;
};

Dtype dtype_of(const std::string& name);  // uint8, int16, bfloat16, float32
const char* name_of(Dtype dtype);

// The declarations of all operations as JSON: what Python writes, the documentation says and the fuzzer mutates.
std::string schema();

}  // namespace tilewise
