#include <algorithm>
#include <iterator>
#include <string>

#include "base/check.h"
#include "operations/ending.h"
#include "operations/list.h"
#include "operations/reduce/params.h"
#include "program/limits.h"

namespace tilewise {
namespace {

class ReduceOperation final : public Operation {
 public:
  void fields(Fields& fields) override {
    fields.reads("x", x_, "The images.");
    fields.writes("y", y_, "Of one channel and the same size, or of one pixel and the same channels.");
    fields.text("kind", kind_, "`sum`, `mean` or `maximum`.");
    fields.flag("channels", params_.channels, "Over all channels of each pixel, else over all pixels.");
    ending_.fields(fields, Ending::Bias::kOptional);
  }

  void check(std::span<const TensorType> tensors) override {
    const TensorType &x = tensors[static_cast<std::size_t>(x_)], &y = tensors[static_cast<std::size_t>(y_)];
    check_no_bf16(name, "x", x);
    if (!params_.channels) check_same_channels(name, x, y);
    if (params_.channels) check_equal(name, "the number of channels of y", y.channels, 1, "what is over all channels");
    const auto* const found = std::ranges::find(kReductions, kind_);
    if (found == std::end(kReductions)) refuse(name, ": kind is ", kind_.substr(0, 80), ", must be sum, mean or maximum");
    params_.kind = static_cast<ReduceKind>(found - kReductions);
    ending_.check(name, tensors, y, params_.epilogue);
  }

  Size size(std::span<const Size> sizes) const override {
    const Size y = params_.channels ? sizes[static_cast<std::size_t>(x_)] : Size{1, 1};
    ending_.check_size(name, sizes, y);
    return y;
  }

  Made make(const KernelSet& set, const TensorRef* tensors) override {
    params_.x = tensors + x_, params_.y = tensors + y_;
    params_.epilogue.residual = ending_.residual(tensors);
    return {"reduce", set.reduce(params_)};
  }

  void drop_arrays() override { ending_.drop_arrays(); }

 private:
  std::int64_t x_ = kNoTensor, y_ = kNoTensor;
  std::string kind_;
  Ending ending_;
  Reduce params_{};
};

}  // namespace

std::unique_ptr<Operation> make_reduce_operation() { return std::make_unique<ReduceOperation>(); }

}  // namespace tilewise
