// What the lossless fast convolutions share: a direct convolution of bytes by int8 weights, stride and dilation 1.
#pragma once

#include <algorithm>
#include <cstdint>
#include <string>
#include <vector>

#include "operations/convolution.h"

namespace tilewise {

// Conv: WrappingConv or ResidueConv.
template <class Conv>
class Lossless : public Convolution<Conv> {
 public:
  bool takes_narrow_pixels(std::int64_t tensor) const override { return !this->reads_as_residual(tensor); }
  std::string algorithm() const override { return algorithm_; }

  void drop_arrays() override {
    weight_ = {}, scale_ = {};
    this->conv_.weight_int8 = {};
    Convolution<Conv>::drop_arrays();
  }

 protected:
  // Proves the sums of these weights, whatever the bytes are, and fills what the algorithm adds to the parameters.
  virtual void check_lossless(const TensorType& x) = 0;

  void check_numbers(const TensorType& x, const TensorType& y) override {
    const std::string& name = this->name;
    this->check_input(x, Dtype::kUint8, "int8");
    const std::int64_t r = weight_.shape[1];
    check_equal(name, "the number of output channels of weight", weight_.shape[0], y.channels, "the channels of y");
    check_equal(name, "the width of weight", weight_.shape[2], r, "its height");
    check_equal(name, "the number of input channels of weight", weight_.shape[3], x.channels, "the channels of x");
    check_range(name, "the height of weight", r, 1, kMaxTransform);
    check_per_channel(name, "scale", scale_, y.channels);
    this->conv_.window = {.height = r, .width = r, .pad_top = this->padding_.top(), .pad_left = this->padding_.left()};
    this->conv_.weight_int8 = weights();
    this->take(this->conv_.scale, scale_);
    this->window_values_ = r * r * x.channels;
    check_lossless(x);
  }

  Size size_of(const Size& x) const override {
    const std::int64_t r = this->conv_.window.height;
    return this->windows(x, {r, r}, {1, 1});
  }

  void shared_fields(Fields& fields) {
    this->wires(fields);
    fields.text("algorithm", algorithm_, "Its name, for profiles.");
    fields.array("weight", weight_, {"int8"}, 4, "[K, r, r, C] of the direct convolution.");
    fields.array("scale", scale_, {"float32"}, 1, "[K], what a sum is multiplied by.");
    fields.integer("block", this->conv_.block, {0, kMaxBlock},
                   "Tiles that go through the stages together; 0: as the machine's caches allow.");
    this->padding_and_ending(fields);
  }

  std::span<const std::int8_t> weights() const { return weight_.values<std::int8_t>(); }
  const std::vector<std::int64_t>& weight_shape() const { return weight_.shape; }

 private:
  std::string algorithm_;
  Array weight_, scale_;
};

}  // namespace tilewise
