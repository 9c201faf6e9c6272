#include "operations/ending.h"

#include <iterator>

#include "base/check.h"
#include "program/limits.h"

namespace tilewise {
namespace {

Function function_of(const std::string& name, const std::string& function) {
  for (std::size_t i = 0; i < std::size(kFunctions); ++i) {
    if (function == kFunctions[i]) return static_cast<Function>(i);
  }
  std::string known;
  for (const char* const one : kFunctions) known += (known.empty() ? "" : ", ") + std::string(one);
  refuse(name, ": function is ", function.substr(0, 80), ", must be empty or one of ", known);
}

}  // namespace

void Ending::fields(Fields& fields, Bias bias) {
  fields.may_read("residual", residual_, "Is added before the activation; of the size and channels of y.");
  fields.text("function", function_, "Of each number, after the residual (numbers.md); empty: none.");
  fields.may_have("slope", slope_, {"float32"}, 1, "[K], the activation multiplies numbers that are not above 0 by it.");
  fields.limit("act_low", low_, "The activation raises what is below; null: nothing is.");
  fields.limit("act_high", high_, "The activation lowers what is above; null: nothing is.");
  if (bias == Bias::kNeeded) fields.array("bias", bias_, {"float32"}, 1, "[K], is added first.");
  if (bias == Bias::kOptional) fields.may_have("bias", bias_, {"float32"}, 1, "[C], is added before the residual.");
}

void Ending::check(const std::string& name, std::span<const TensorType> tensors, const TensorType& y,
                   Epilogue& epilogue) {
  if (!(low_ <= high_))
    refuse(name, ": the activation is limited to ", low_, "..", high_, ", must be two numbers in order");
  if (bias_) check_per_channel(name, "bias", bias_, y.channels);
  if (slope_) check_per_channel(name, "slope", slope_, y.channels);
  if (residual_ != kNoTensor) {
    const TensorType& residual = tensors[static_cast<std::size_t>(residual_)];
    check_no_bf16(name, "the residual", residual);
    check_equal(name, "the number of channels of the residual", residual.channels, y.channels, "the channels of y");
  }
  const auto bias = bias_.values<float>();
  epilogue.bias.assign(bias.begin(), bias.end());
  const auto slope = slope_.values<float>();
  epilogue.slope.assign(slope.begin(), slope.end());
  epilogue.function = function_of(name, function_);
  epilogue.low = low_, epilogue.high = high_;
}

void Ending::check_size(const std::string& name, std::span<const Size> sizes, const Size& y) const {
  if (residual_ == kNoTensor) return;
  const Size& residual = sizes[static_cast<std::size_t>(residual_)];
  if (residual == y) return;
  refuse(name, ": the tensor that is added has ", residual.height, "x", residual.width, " pixels, must have ", y.height,
         "x", y.width, " as what it is added to");
}

}  // namespace tilewise
