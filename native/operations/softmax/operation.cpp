#include "operations/list.h"
#include "operations/softmax/params.h"
#include "program/limits.h"

namespace tilewise {
namespace {

class SoftmaxOperation final : public Operation {
 public:
  void fields(Fields& fields) override {
    fields.reads("x", x_, "The images.");
    fields.writes("y", y_, "Of the same size and channels.");
  }

  void check(std::span<const TensorType> tensors) override {
    const TensorType &x = tensors[static_cast<std::size_t>(x_)], &y = tensors[static_cast<std::size_t>(y_)];
    check_no_bf16(name, "x", x);
    check_same_channels(name, x, y);
  }

  Size size(std::span<const Size> sizes) const override { return sizes[static_cast<std::size_t>(x_)]; }

  Made make(const KernelSet& set, const TensorRef* tensors) override {
    return {"softmax", set.softmax({.x = tensors + x_, .y = tensors + y_})};
  }

 private:
  std::int64_t x_ = kNoTensor, y_ = kNoTensor;
};

}  // namespace

std::unique_ptr<Operation> make_softmax_operation() { return std::make_unique<SoftmaxOperation>(); }

}  // namespace tilewise
