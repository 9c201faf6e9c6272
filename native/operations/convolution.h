// What the operations of all convolutions share. Conv: their parameters, DirectConv and its kin, or FastConv.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "base/check.h"
#include "operations/ending.h"
#include "operations/extents.h"
#include "operations/list.h"
#include "program/limits.h"

namespace tilewise {

template <class Conv>
class Convolution : public Operation {
 public:
  void check(std::span<const TensorType> tensors) override {
    const TensorType &x = tensors[static_cast<std::size_t>(x_)], &y = tensors[static_cast<std::size_t>(y_)];
    check_numbers(x, y);
    ending_.check(name, tensors, y, conv_.epilogue);
    conv_.shared = &shared_;
    filters_ = y.channels;
  }

  Size size(std::span<const Size> sizes) const override {
    const Size y = size_of(sizes[static_cast<std::size_t>(x_)]);
    ending_.check_size(name, sizes, y);
    return y;
  }

  Made make(const KernelSet& set, const TensorRef* tensors) override {
    conv_.x = tensors + x_, conv_.y = tensors + y_;
    conv_.epilogue.residual = ending_.residual(tensors);
    return kernel(set);
  }

  std::int64_t operations(std::span<const Size> sizes) const override {
    const Size& y = sizes[static_cast<std::size_t>(y_)];
    return 2 * y.height * y.width * filters_ * window_values_;
  }

  bool packs_weights() const override { return true; }
  void drop_arrays() override { ending_.drop_arrays(); }

 protected:
  // Checks all but the ending, and fills the parameters and window_values_.
  virtual void check_numbers(const TensorType& x, const TensorType& y) = 0;
  virtual Size size_of(const Size& x) const = 0;
  virtual Made kernel(const KernelSet& set) const = 0;

  void wires(Fields& fields) {
    fields.reads("x", x_, "The images.");
    fields.writes("y", y_, "The sums, after the ending.");
  }
  void padding_and_ending(Fields& fields) {
    fields.integers("padding", padding_.sides, {0, kMaxExtent}, "Rows of zeros above and below, columns left and right.");
    ending_.fields(fields, Ending::Bias::kNeeded);
  }
  bool reads_as_residual(std::int64_t tensor) const { return ending_.reads_as_residual(tensor); }

  // Windows of these extents over the padded image.
  Size windows(const Size& x, const Size& reach, const Size& step) const {
    return {windows_along(name, "height", x.height, padding_.height(), reach.height, step.height),
            windows_along(name, "width", x.width, padding_.width(), reach.width, step.width)};
  }

  // The groups of a convolution whose weights have so many input channels.
  std::int64_t groups_of(std::int64_t channels, const char* weights, const TensorType& x, const TensorType& y) const {
    if (channels < 1 || x.channels % channels != 0)
      refuse(name, ": the number of input channels of ", weights, " is ", channels, ", must divide ", x.channels,
             ", the channels of x");
    const std::int64_t groups = x.channels / channels;
    if (y.channels % groups != 0)
      refuse(name, ": the channels of y are ", y.channels, ", must be a multiple of ", groups, ", the number of groups");
    return groups;
  }

  void check_input(const TensorType& x, Dtype expected, const std::string& weights) const {
    if (x.dtype != expected)
      refuse(name, ": x is ", name_of(x.dtype), ", must be ", name_of(expected), " as the weights are ", weights);
  }

  template <typename T>
  static void take(std::vector<T>& to, const Array& from) {
    const auto values = from.values<T>();
    to.assign(values.begin(), values.end());
  }

  Conv conv_{};
  Padding padding_;
  std::int64_t window_values_ = 0;  // products for one output value of a direct convolution

 private:
  std::int64_t x_ = kNoTensor, y_ = kNoTensor, filters_ = 0;
  Ending ending_;
  std::shared_ptr<const void> shared_;
};

}  // namespace tilewise
