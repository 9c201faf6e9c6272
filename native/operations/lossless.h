// What the lossless fast convolutions share: a direct convolution of bytes by int8 weights, stride and dilation 1.
#pragma once

#include <algorithm>
#include <cstdint>
#include <string>

#include "base/check.h"
#include "operations/ending.h"
#include "operations/extents.h"
#include "operations/list.h"
#include "program/limits.h"

namespace tilewise {

// Conv: WrappingConv or ResidueConv.
template <class Conv>
class Lossless : public Operation {
 public:
  void check(std::span<const TensorType> tensors) override {
    const TensorType &x = tensors[static_cast<std::size_t>(x_)], &y = tensors[static_cast<std::size_t>(y_)];
    if (x.dtype != Dtype::kUint8) refuse(name, ": x is ", name_of(x.dtype), ", must be uint8, as the weights are int8");
    const std::int64_t r = weight_.shape[1];
    check_equal(name, "the number of output channels of weight", weight_.shape[0], y.channels, "the channels of y");
    check_equal(name, "the width of weight", weight_.shape[2], r, "its height");
    check_equal(name, "the number of input channels of weight", weight_.shape[3], x.channels, "the channels of x");
    check_range(name, "the height of weight", r, 1, kMaxTransform);
    check_per_channel(name, "scale", scale_, y.channels);
    conv_.window = {.height = r, .width = r, .pad_top = padding_.top(), .pad_left = padding_.left()};
    conv_.weight_int8 = weight_.values<std::int8_t>();
    const auto scale = scale_.values<float>();
    conv_.scale.assign(scale.begin(), scale.end());
    conv_.block = block_;
    conv_.shared = &shared_;
    ending_.check(name, tensors, y, conv_.epilogue);
    check_lossless(x);
  }

  Size size(std::span<const Size> sizes) const override {
    const Size& x = sizes[static_cast<std::size_t>(x_)];
    const std::int64_t r = conv_.window.height;
    const Size y{windows_along(name, "height", x.height, padding_.height(), r, 1),
                 windows_along(name, "width", x.width, padding_.width(), r, 1)};
    ending_.check_size(name, sizes, y);
    return y;
  }

  Made make(const KernelSet& set, const TensorRef* tensors) override {
    conv_.x = tensors + x_, conv_.y = tensors + y_;
    conv_.epilogue.residual = ending_.residual(tensors);
    return make_lossless(set);
  }

  std::int64_t operations(std::span<const Size> sizes) const override {
    const Size& y = sizes[static_cast<std::size_t>(y_)];
    return 2 * y.height * y.width * static_cast<std::int64_t>(conv_.scale.size()) * values_;
  }

  bool takes_narrow_pixels(std::int64_t tensor) const override { return !ending_.reads_as_residual(tensor); }
  std::string algorithm() const override { return algorithm_; }

  bool packs_weights() const override { return true; }

  void drop_arrays() override {
    weight_ = {}, scale_ = {};
    conv_.weight_int8 = {};
    ending_.drop_arrays();
  }

 protected:
  // Proves the sums of these weights, whatever the bytes are, and fills what the algorithm adds to the parameters.
  virtual void check_lossless(const TensorType& x) = 0;
  virtual Made make_lossless(const KernelSet& set) = 0;

  void shared_fields(Fields& fields) {
    fields.reads("x", x_, "The images, uint8.");
    fields.writes("y", y_, "The sums, after the ending.");
    fields.text("algorithm", algorithm_, "Its name, for profiles.");
    fields.array("weight", weight_, {"int8"}, 4, "[K, r, r, C] of the direct convolution.");
    fields.array("scale", scale_, {"float32"}, 1, "[K], what a sum is multiplied by.");
    fields.integers("padding", padding_.sides, {0, kMaxExtent}, "Rows of zeros above and below, columns left and right.");
    fields.integer("block", block_, {0, kMaxBlock}, "Tiles that go through the stages together; 0: as the machine's caches allow.");
    ending_.fields(fields, Ending::Bias::kNeeded);
  }

  std::span<const std::int8_t> weights() const { return weight_.values<std::int8_t>(); }
  const std::vector<std::int64_t>& weight_shape() const { return weight_.shape; }
  void count_values() { values_ = weight_.shape[1] * weight_.shape[2] * weight_.shape[3]; }

  Conv conv_{};

 private:
  std::int64_t x_ = kNoTensor, y_ = kNoTensor, block_ = 0, values_ = 0;
  std::string algorithm_;
  Array weight_, scale_;
  Padding padding_;
  Ending ending_;
  std::shared_ptr<const void> shared_;
};

}  // namespace tilewise
