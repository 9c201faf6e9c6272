#include <bit>
#include <cmath>
#include <cstdlib>
#include <limits>
#include <type_traits>

#include "base/check.h"
#include "operations/ending.h"
#include "operations/extents.h"
#include "operations/list.h"
#include "program/limits.h"

namespace tilewise {
namespace {

// A kernel adds up weight * byte from -zero * (sum of weights) on, and every sum on the way must fit int32.
constexpr std::int64_t kMaxWeightSum = kMaxInt32 / (255 + 128);

class Direct final : public Operation {
 public:
  void fields(Fields& fields) override {
    fields.reads("x", x_, "The images.");
    fields.writes("y", y_, "The sums, after the ending.");
    fields.array("weight", weight_, {"int8", "int16", "uint16", "float32"}, 4,
                 "[K, height, width, C]; its type decides what is computed in, uint16 being the bits of bfloat16.");
    fields.may_have("scale", scale_, {"float32"}, 1, "[K], what a sum of integers is multiplied by; integer weights only.");
    fields.integers("stride", stride_, {1, kMaxStep}, "Rows and columns from one window to the next.");
    fields.integers("padding", padding_.sides, {0, kMaxExtent}, "Rows of zeros above and below, columns left and right.");
    fields.integers("dilation", dilation_, {1, kMaxStep}, "Rows and columns from one pixel of a window to the next.");
    fields.flag("ordered", ordered_, "Float weights: round each product and sum by itself, the same on every machine.");
    fields.flag("whole", whole_, "The window must cover the whole image, as a linear layer's does.");
    ending_.fields(fields, Ending::Bias::kNeeded);
  }

  void check(std::span<const TensorType> tensors) override {
    const TensorType &x = tensors[static_cast<std::size_t>(x_)], &y = tensors[static_cast<std::size_t>(y_)];
    check_equal(name, "the number of output channels of weight", weight_.shape[0], y.channels, "the channels of y");
    check_equal(name, "the number of input channels of weight", weight_.shape[3], x.channels, "the channels of x");
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
    check_weights(x, y);
    const auto scale = scale_.values<float>();
    conv_.scale.assign(scale.begin(), scale.end());
    conv_.unfused = ordered_;
    conv_.shared = &shared_;
    ending_.check(name, tensors, y, conv_.epilogue);
    filters_ = y.channels;
    window_values_ = conv_.window.height * conv_.window.width * x.channels;
  }

  Size size(std::span<const Size> sizes) const override {
    const Size& x = sizes[static_cast<std::size_t>(x_)];
    const Window& w = conv_.window;
    if (whole_ && (x.height != w.height || x.width != w.width))
      refuse(name, ": its input has ", x.height, "x", x.width, " pixels, must have ", w.height, "x", w.width);
    const Size y{windows_along(name, "height", x.height, padding_.height(), (w.height - 1) * w.dilation_h + 1, w.stride_h),
                 windows_along(name, "width", x.width, padding_.width(), (w.width - 1) * w.dilation_w + 1, w.stride_w)};
    ending_.check_size(name, sizes, y);
    return y;
  }

  Made make(const KernelSet& set, const TensorRef* tensors) override {
    conv_.x = tensors + x_, conv_.y = tensors + y_;
    conv_.epilogue.residual = ending_.residual(tensors);
    switch (type_) {
      case Dtype::kUint8: return {"direct_int8", set.direct_int8(conv_)};
      case Dtype::kInt16: return {"direct_int16", set.direct_int16(conv_)};
      case Dtype::kBf16: return {"direct_bf16", set.direct_bf16(conv_)};
      default: return {"direct_f32", set.direct_f32(conv_)};
    }
  }

  std::int64_t operations(std::span<const Size> sizes) const override {
    const Size& y = sizes[static_cast<std::size_t>(y_)];
    return 2 * y.height * y.width * filters_ * window_values_;
  }

  bool takes_narrow_pixels(std::int64_t tensor) const override { return !ending_.reads_as_residual(tensor); }

  bool packs_weights() const override { return true; }

  void drop_arrays() override {
    weight_ = {}, scale_ = {};
    conv_.weight_int8 = {}, conv_.weight_int16 = {}, conv_.weight_bf16 = {}, conv_.weight_f32 = {};
    ending_.drop_arrays();
  }

 private:
  void check_weights(const TensorType& x, const TensorType& y) {
    if (weight_.dtype == "int8") {
      conv_.weight_int8 = integers<std::int8_t>(x, y, Dtype::kUint8, kMaxWeightSum);
    } else if (weight_.dtype == "int16") {
      conv_.weight_int16 = integers<std::int16_t>(x, y, Dtype::kInt16, kMaxInt32 / std::max<std::int64_t>(1, largest_q(x)));
    } else if (weight_.dtype == "uint16") {
      conv_.weight_bf16 = floats<std::uint16_t>(x, Dtype::kBf16);
    } else {
      conv_.weight_f32 = floats<float>(x, Dtype::kFloat32);
    }
  }

  void check_input(const TensorType& x, Dtype expected) {
    if (x.dtype != expected)
      refuse(name, ": x is ", name_of(x.dtype), ", must be ", name_of(expected), " as the weights are ", weight_.dtype);
    type_ = expected;
  }

  template <typename Weight>
  std::span<const Weight> integers(const TensorType& x, const TensorType& y, Dtype expected, std::int64_t most) {
    check_input(x, expected);
    const auto values = weight_.values<Weight>();
    check_sums(name, "the weights of output channel", values, static_cast<std::size_t>(weight_.shape[0]), most);
    if (!scale_) refuse(name, ": integer weights need a scale");
    check_per_channel(name, "scale", scale_, y.channels);
    return values;
  }

  template <typename Weight>
  std::span<const Weight> floats(const TensorType& x, Dtype expected) {
    check_input(x, expected);
    check_finite_weights(name, "weight", weight_);
    if (scale_) refuse(name, ": float weights take no scale");
    return weight_.values<Weight>();
  }

  std::int64_t x_ = kNoTensor, y_ = kNoTensor;
  Array weight_, scale_;
  std::int64_t stride_[2] = {1, 1}, dilation_[2] = {1, 1};
  Padding padding_;
  bool ordered_ = false, whole_ = false;
  Ending ending_;
  DirectConv conv_{};
  Dtype type_ = Dtype::kFloat32;  // of x
  std::int64_t filters_ = 0, window_values_ = 0;
  std::shared_ptr<const void> shared_;
};

}  // namespace

std::unique_ptr<Operation> make_direct_operation() { return std::make_unique<Direct>(); }

}  // namespace tilewise
