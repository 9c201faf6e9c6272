#include "operations/ending.h"
#include "operations/list.h"
#include "program/limits.h"

namespace tilewise {
namespace {

class ElementWise final : public Operation {
 public:
  void fields(Fields& fields) override {
    fields.reads("x", x_, "The images.");
    fields.writes("y", y_, "Of the same size and channels.");
    fields.may_have("scale", scale_, {"float32"}, 1, "[C], what the real numbers are multiplied by.");
    ending_.fields(fields, Ending::Bias::kOptional);
  }

  void check(std::span<const TensorType> tensors) override {
    const TensorType &x = tensors[static_cast<std::size_t>(x_)], &y = tensors[static_cast<std::size_t>(y_)];
    check_no_bf16(name, "x", x);
    check_same_channels(name, x, y);
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
    return {"eltwise", set.eltwise(params_)};
  }

  void drop_arrays() override {
    scale_ = {};
    ending_.drop_arrays();
  }

 private:
  std::int64_t x_ = kNoTensor, y_ = kNoTensor;
  Array scale_;
  Ending ending_;
  Eltwise params_{};
};

}  // namespace

std::unique_ptr<Operation> make_eltwise_operation() { return std::make_unique<ElementWise>(); }

}  // namespace tilewise
