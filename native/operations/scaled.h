// Operations that keep size and channels, and end with a scale for each channel and an ending: what they share.
#pragma once

#include <string>

#include "operations/ending.h"
#include "program/limits.h"
#include "program/operation.h"

namespace tilewise {

// `Params` has x, y, scale and epilogue. Of its own an operation adds fields between y and the scale, and their checks.
template <typename Params>
class Scaled : public Operation {
 public:
  void fields(Fields& fields) final {
    fields.reads("x", x_, "The images.");
    fields.writes("y", y_, "Of the same size and channels.");
    own_fields(fields);
    fields.may_have("scale", scale_, {"float32"}, 1, "[C], what the real numbers are multiplied by.");
    ending_.fields(fields, Ending::Bias::kOptional);
  }

  void check(std::span<const TensorType> tensors) final {
    const TensorType &x = tensors[static_cast<std::size_t>(x_)], &y = tensors[static_cast<std::size_t>(y_)];
    check_no_bf16(name, "x", x);
    check_same_channels(name, x, y);
    check_own(x);
    if (scale_) check_per_channel(name, "scale", scale_, y.channels);
    const auto scale = scale_.values<float>();
    params_.scale.assign(scale.begin(), scale.end());
    ending_.check(name, tensors, y, params_.epilogue);
  }

  Size size(std::span<const Size> sizes) const final {
    const Size& x = sizes[static_cast<std::size_t>(x_)];
    ending_.check_size(name, sizes, x);
    return x;
  }

  Made make(const KernelSet& set, const TensorRef* tensors) final {
    params_.x = tensors + x_, params_.y = tensors + y_;
    params_.epilogue.residual = ending_.residual(tensors);
    return kernel(set);
  }

  void drop_arrays() final {
    scale_ = {};
    ending_.drop_arrays();
  }

 protected:
  Params params_{};

 private:
  virtual void own_fields(Fields&) {}
  virtual void check_own(const TensorType&) {}
  virtual Made kernel(const KernelSet& set) const = 0;

  std::int64_t x_ = kNoTensor, y_ = kNoTensor;
  Array scale_;
  Ending ending_;
};

}  // namespace tilewise
