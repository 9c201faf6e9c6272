#include <string>

#include "base/check.h"
#include "operations/ending.h"
#include "operations/list.h"
#include "operations/norm/params.h"
#include "program/limits.h"

namespace tilewise {
namespace {

class NormOperation final : public Operation {
 public:
  void fields(Fields& fields) override {
    fields.reads("x", x_, "The images.");
    fields.writes("y", y_, "Of the same size and channels.");
    fields.integer("groups", params_.groups, {0, kMaxExtent},
                   "Of channels, each with statistics over all pixels; 0: all channels, with statistics for each pixel.");
    fields.real("eps", eps_, "Is added to the variance.");
    fields.may_have("scale", scale_, {"float32"}, 1, "[C], what the normalized numbers are multiplied by.");
    ending_.fields(fields, Ending::Bias::kOptional);
  }

  void check(std::span<const TensorType> tensors) override {
    const TensorType &x = tensors[static_cast<std::size_t>(x_)], &y = tensors[static_cast<std::size_t>(y_)];
    check_no_bf16(name, "x", x);
    check_same_channels(name, x, y);
    if (params_.groups > 0 && x.channels % params_.groups != 0)
      refuse(name, ": groups is ", params_.groups, ", must divide the ", x.channels, " channels");
    params_.eps = static_cast<float>(eps_);
    if (scale_) check_per_channel(name, "scale", scale_, y.channels);
    const auto scale = scale_.values<float>();
    params_.scale.assign(scale.begin(), scale.end());
    ending_.check(name, tensors, y, params_.epilogue);
  }

  Size size(std::span<const Size> sizes) const override {
    const Size& x = sizes[static_cast<std::size_t>(x_)];
    ending_.check_size(name, sizes, x);
    return x;
  }

  Made make(const KernelSet& set, const TensorRef* tensors) override {
    params_.x = tensors + x_, params_.y = tensors + y_;
    params_.epilogue.residual = ending_.residual(tensors);
    return {"norm", set.norm(params_)};
  }

  void drop_arrays() override {
    scale_ = {};
    ending_.drop_arrays();
  }

 private:
  std::int64_t x_ = kNoTensor, y_ = kNoTensor;
  double eps_ = 0;
  Array scale_;
  Ending ending_;
  Norm params_{};
};

}  // namespace

std::unique_ptr<Operation> make_norm_operation() { return std::make_unique<NormOperation>(); }

}  // namespace tilewise
