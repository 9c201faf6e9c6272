#include <cmath>

#include "base/check.h"
#include "operations/list.h"
#include "program/limits.h"

namespace tilewise {
namespace {

// Bilinear interpolation to a given size, by given factors, or to the size of another tensor.
class Resizing final : public Operation {
 public:
  void fields(Fields& fields) override {
    fields.reads("x", x_, "The images.");
    fields.may_read("like", like_, "The tensor whose size y has, if one is meant.");
    fields.writes("y", y_, "Of the same channels.");
    fields.integers("size", size_, {0, kMaxExtent}, "Height and width of y, if they are meant; else 0.");
    fields.real("row_scale", scale_[0], "The factor of the height that the caller gave; 0: none.");
    fields.real("col_scale", scale_[1], "The factor of the width that the caller gave; 0: none.");
    fields.flag("align_corners", align_corners_, "The corners of both images lie on each other.");
  }

  void check(std::span<const TensorType> tensors) override {
    const TensorType &x = tensors[static_cast<std::size_t>(x_)], &y = tensors[static_cast<std::size_t>(y_)];
    check_no_bf16(name, "x", x);
    check_no_bf16(name, "y", y);
    check_same_channels(name, x, y);
    const bool sized = size_[0] > 0 && size_[1] > 0, scaled = scale_[0] > 0 && scale_[1] > 0;
    if (like_ == kNoTensor && !sized && !scaled) refuse(name, ": has neither a size nor factors, must have one of them");
  }

  Size size(std::span<const Size> sizes) const override {
    if (like_ != kNoTensor) return sizes[static_cast<std::size_t>(like_)];
    if (size_[0] > 0) return {size_[0], size_[1]};
    const Size& x = sizes[static_cast<std::size_t>(x_)];
    return {scaled("height", x.height, scale_[0]), scaled("width", x.width, scale_[1])};
  }

  Made make(const KernelSet& set, const TensorRef* tensors) override {
    const TensorRef &x = tensors[x_], &y = tensors[y_];
    Resize params{.x = &x, .y = &y, .rows = taps(x.height, y.height, scale_[0]), .cols = taps(x.width, y.width, scale_[1])};
    return {"resize", set.resize(params)};
  }

 private:
  std::int64_t scaled(const char* axis, std::int64_t in, double factor) const {
    const double out = std::floor(static_cast<double>(in) * factor);
    if (!(out >= 1 && out <= static_cast<double>(kMaxExtent)))
      refuse(name, ": the ", axis, " of y would be ", out, ", must be 1..", kMaxExtent);
    return static_cast<std::int64_t>(out);
  }

  // As torch's bilinear interpolation in float32, each step rounded by itself. An image that keeps its size stays.
  std::vector<Resize::Tap> taps(std::int64_t in, std::int64_t out, double factor) const {
    std::vector<Resize::Tap> result;
    const double corners = out > 1 ? static_cast<double>(in - 1) / static_cast<double>(out - 1) : 0.0;
    const double even = factor > 0 ? 1 / factor : static_cast<double>(in) / static_cast<double>(out);
    const auto step = static_cast<float>(in == out ? 1.0 : align_corners_ ? corners : even);
    for (std::int64_t i = 0; i < out; ++i) {
      const auto place = static_cast<float>(i);
      float position = step * place;
      if (!align_corners_ && in != out) position = std::max(step * (place + 0.5F) - 0.5F, 0.0F);
      const std::int64_t low = std::min(static_cast<std::int64_t>(position), in - 1), high = std::min(low + 1, in - 1);
      result.push_back({low, high, std::clamp(position - static_cast<float>(low), 0.0F, 1.0F)});
    }
    return result;
  }

  std::int64_t x_ = kNoTensor, like_ = kNoTensor, y_ = kNoTensor;
  std::int64_t size_[2] = {0, 0};
  double scale_[2] = {0, 0};
  bool align_corners_ = false;
};

}  // namespace

std::unique_ptr<Operation> make_resize_operation() { return std::make_unique<Resizing>(); }

}  // namespace tilewise
