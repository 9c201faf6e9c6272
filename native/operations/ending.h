// How convolutions and element-wise operations end: bias, residual, activation. Their fields, checks and parameters.
#pragma once

#include <cstdint>
#include <span>
#include <string>

#include "kernels/convolution.h"
#include "program/operation.h"

namespace tilewise {

class Ending {
 public:
  enum class Bias : std::uint8_t { kNeeded, kOptional };

  void fields(Fields& fields, Bias bias);
  // Checks all but sizes, and fills the epilogue. `y` is the tensor that is written.
  void check(const std::string& name, std::span<const TensorType> tensors, const TensorType& y, Epilogue& epilogue);
  // The residual has the size of what it is added to.
  void check_size(const std::string& name, std::span<const Size> sizes, const Size& y) const;
  const TensorRef* residual(const TensorRef* tensors) const {
    return residual_ == kNoTensor ? nullptr : tensors + residual_;
  }
  void drop_arrays() { bias_ = {}, slope_ = {}; }
  bool reads_as_residual(std::int64_t tensor) const { return residual_ == tensor; }

 private:
  std::int64_t residual_ = kNoTensor;
  std::string function_;
  float low_ = -std::numeric_limits<float>::infinity(), high_ = std::numeric_limits<float>::infinity();
  Array bias_, slope_;
};

}  // namespace tilewise
