#include <cmath>

#include "base/check.h"
#include "operations/list.h"
#include "program/limits.h"

namespace tilewise {
namespace {

// Interpolation to a given size, by given factors, or to the size of another tensor.
class Resizing final : public Operation {
 public:
  void fields(Fields& fields) override {
    fields.reads("x", x_, "The images.");
    fields.may_read("like", like_, "The tensor whose size y has, if one is meant.");
    fields.writes("y", y_, "Of the same channels.");
    fields.integers("size", size_, {0, kMaxExtent}, "Height and width of y, if they are meant; else 0.");
    fields.real("row_scale", scale_[0], "The factor of the height that the caller gave; 0: none.");
    fields.real("col_scale", scale_[1], "The factor of the width that the caller gave; 0: none.");
    fields.integer("mode", mode_, {0, kModes - 1},
                   "0: bilinear; 1: nearest, the pixel at floor(in / out * i); 2: the nearest one to the middle; 3: bicubic.");
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

  bool takes_narrow_pixels(std::int64_t) const override { return true; }
  bool writes_narrow_pixels() const override { return true; }

  Made make(const KernelSet& set, const TensorRef* tensors) override {
    const TensorRef &x = tensors[x_], &y = tensors[y_];
    Resize params{.x = &x, .y = &y, .rows = {}, .cols = {}};
    if (mode_ == kBicubic) {
      params.cubic_rows = cubic(x.height, y.height, scale_[0]), params.cubic_cols = cubic(x.width, y.width, scale_[1]);
    } else {
      params.rows = taps(x.height, y.height, scale_[0]), params.cols = taps(x.width, y.width, scale_[1]);
    }
    return {"resize", set.resize(params)};
  }

 private:
  std::int64_t scaled(const char* axis, std::int64_t in, double factor) const {
    const double out = std::floor(static_cast<double>(in) * factor);
    if (!(out >= 1 && out <= static_cast<double>(kMaxExtent)))
      refuse(name, ": the ", axis, " of y would be ", out, ", must be 1..", kMaxExtent);
    return static_cast<std::int64_t>(out);
  }

  // How far apart in x pixels of y are.
  float step_of(std::int64_t in, std::int64_t out, double factor) const {
    const double corners = out > 1 ? static_cast<double>(in - 1) / static_cast<double>(out - 1) : 0.0;
    const double even = factor > 0 ? 1 / factor : static_cast<double>(in) / static_cast<double>(out);
    return static_cast<float>(align_corners_ ? corners : even);
  }

  // As torch's interpolations in float32, each step rounded by itself. An image that keeps its size stays.
  std::vector<Resize::Tap> taps(std::int64_t in, std::int64_t out, double factor) const {
    std::vector<Resize::Tap> result;
    const float step = step_of(in, out, factor);
    for (std::int64_t i = 0; i < out; ++i) {
      const auto place = static_cast<float>(i);
      float position = step * place;
      if (in == out) position = place;
      if ((!align_corners_ && mode_ == kBilinear && in != out) || mode_ == kNearestExact)
        position = std::max(step * (place + 0.5F) - 0.5F, 0.0F);
      if (mode_ == kNearestExact) position += 0.5F;
      // A factor near 0 puts a place beyond what an integer holds.
      const bool inside = position < static_cast<float>(in);
      const std::int64_t low = inside ? std::min(static_cast<std::int64_t>(position), in - 1) : in - 1;
      const std::int64_t high = mode_ == kBilinear ? std::min(low + 1, in - 1) : low;
      result.push_back({low, high, mode_ == kBilinear ? std::clamp(position - static_cast<float>(low), 0.0F, 1.0F) : 0.0F});
    }
    return result;
  }

  // The same for Keys' cubic convolution with a = -0.75; pixels beyond the edges are those at the edges.
  std::vector<Resize::Cubic> cubic(std::int64_t in, std::int64_t out, double factor) const {
    std::vector<Resize::Cubic> result;
    const float step = step_of(in, out, factor);
    for (std::int64_t i = 0; i < out; ++i) {
      const auto place = static_cast<float>(i);
      float position = align_corners_ ? step * place : step * (place + 0.5F) - 0.5F;
      if (in == out) position = place;
      const float last = static_cast<float>(in - 1);
      const float low = std::min(std::floor(position), last);
      const float part = std::clamp(position - low, 0.0F, 1.0F);
      Resize::Cubic taps{{}, {outer(part + 1), inner(part), inner(1 - part), outer(1 - part + 1)}};
      for (std::int64_t k = 0; k < 4; ++k)
        taps.pixels[k] = static_cast<std::int64_t>(std::clamp(low + static_cast<float>(k - 1), 0.0F, last));
      result.push_back(taps);
    }
    return result;
  }
  static float inner(float x) { return ((1.25F * x - 2.25F) * x) * x + 1; }
  static float outer(float x) { return ((-0.75F * x + 3.75F) * x - 6) * x + 3; }

  enum Mode : std::int64_t { kBilinear, kNearest, kNearestExact, kBicubic, kModes };
  std::int64_t mode_ = kBilinear;
  std::int64_t x_ = kNoTensor, like_ = kNoTensor, y_ = kNoTensor;
  std::int64_t size_[2] = {0, 0};
  double scale_[2] = {0, 0};
  bool align_corners_ = false;
};

}  // namespace

std::unique_ptr<Operation> make_resize_operation() { return std::make_unique<Resizing>(); }

}  // namespace tilewise
