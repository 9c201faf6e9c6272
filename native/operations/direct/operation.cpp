#include <algorithm>

#include "operations/convolution.h"

namespace tilewise {
namespace {

// A kernel adds up weight * byte from -zero * (sum of weights) on, and every sum on the way must fit int32.
std::int64_t most_of_weights(const QuantGrid& grid) { return kMaxInt32 / (255 + std::max(128, grid.zero)); }

class Direct final : public Convolution<DirectConv> {
 public:
  void fields(Fields& fields) override {
    wires(fields);
    fields.array("weight", weight_, {"int8", "int16", "uint16", "float32"}, 4,
                 "[K, height, width, C / groups]; its type decides what is computed in, uint16 being the bits of bfloat16. "
                 "Output channels come in as many groups, and each reads the input channels of its own.");
    fields.may_have("scale", scale_, {"float32"}, 1, "[K], what a sum of integers is multiplied by; integer weights only.");
    fields.integers("stride", stride_, {1, kMaxStep}, "Rows and columns from one window to the next.");
    fields.integers("dilation", dilation_, {1, kMaxStep}, "Rows and columns from one pixel of a window to the next.");
    fields.flag("ordered", conv_.ordered, "Float weights: round each product and sum by itself, the same on every machine.");
    fields.flag("whole", whole_, "The window must cover the whole image, as a linear layer's does.");
    padding_and_ending(fields);
  }

  bool takes_narrow_pixels(std::int64_t tensor) const override { return !reads_as_residual(tensor); }

  void drop_arrays() override {
    weight_ = {}, scale_ = {};
    conv_.weight_int8 = {}, conv_.weight_int16 = {}, conv_.weight_bf16 = {}, conv_.weight_f32 = {};
    Convolution::drop_arrays();
  }

 private:
  void check_numbers(const TensorType& x, const TensorType& y) override {
    check_equal(name, "the number of output channels of weight", weight_.shape[0], y.channels, "the channels of y");
    conv_.groups = groups_of(weight_.shape[3], "weight", x, y);
    check_range(name, "the height of the window", weight_.shape[1], 1, kMaxKernel);
    check_range(name, "the width of the window", weight_.shape[2], 1, kMaxKernel);
    conv_.window = {.height = weight_.shape[1],
                    .width = weight_.shape[2],
                    .stride_h = stride_[0],
                    .stride_w = stride_[1],
                    .pad_top = padding_.top(),
                    .pad_left = padding_.left(),
                    .dilation_h = dilation_[0],
                    .dilation_w = dilation_[1]};
    window_values_ = conv_.window.height * conv_.window.width * weight_.shape[3];
    check_weights(x, y);
    take(conv_.scale, scale_);
  }

  Size size_of(const Size& x) const override {
    const Window& w = conv_.window;
    if (whole_ && (x.height != w.height || x.width != w.width))
      refuse(name, ": its input has ", x.height, "x", x.width, " pixels, must have ", w.height, "x", w.width);
    return windows(x, {(w.height - 1) * w.dilation_h + 1, (w.width - 1) * w.dilation_w + 1}, {w.stride_h, w.stride_w});
  }

  Made kernel(const KernelSet& set) const override {
    switch (type_) {
      case Dtype::kUint8: return {"direct_int8", set.direct_int8(conv_)};
      case Dtype::kInt16: return {"direct_int16", set.direct_int16(conv_)};
      case Dtype::kBf16: return {"direct_bf16", set.direct_bf16(conv_)};
      default: return {"direct_f32", set.direct_f32(conv_)};
    }
  }

  void check_weights(const TensorType& x, const TensorType& y) {
    if (weight_.dtype == "int8") {
      conv_.weight_int8 = integers<std::int8_t>(x, y, Dtype::kUint8, most_of_weights(x.grid));
    } else if (weight_.dtype == "int16") {
      conv_.weight_int16 = integers<std::int16_t>(x, y, Dtype::kInt16, kMaxInt32 / std::max<std::int64_t>(1, largest_q(x)));
    } else if (weight_.dtype == "uint16") {
      conv_.weight_bf16 = floats<std::uint16_t>(x, Dtype::kBf16);
    } else {
      conv_.weight_f32 = floats<float>(x, Dtype::kFloat32);
    }
  }

  template <typename Weight>
  std::span<const Weight> integers(const TensorType& x, const TensorType& y, Dtype expected, std::int64_t most) {
    check_input(x, type_ = expected, weight_.dtype);
    const auto values = weight_.values<Weight>();
    check_sums(name, "the weights of output channel", values, static_cast<std::size_t>(weight_.shape[0]), most);
    if (!scale_) refuse(name, ": integer weights need a scale");
    check_per_channel(name, "scale", scale_, y.channels);
    return values;
  }

  template <typename Weight>
  std::span<const Weight> floats(const TensorType& x, Dtype expected) {
    check_input(x, type_ = expected, weight_.dtype);
    check_finite_weights(name, "weight", weight_);
    if (scale_) refuse(name, ": float weights take no scale");
    return weight_.values<Weight>();
  }

  Array weight_, scale_;
  std::int64_t stride_[2] = {1, 1}, dilation_[2] = {1, 1};
  bool whole_ = false;
  Dtype type_ = Dtype::kFloat32;  // of x
};

}  // namespace

std::unique_ptr<Operation> make_direct_operation() { return std::make_unique<Direct>(); }

}  // namespace tilewise
