#include "base/check.h"
#include "operations/list.h"
#include "program/limits.h"

namespace tilewise {
namespace {

class Shuffling final : public Operation {
 public:
  void fields(Fields& fields) override {
    fields.reads("x", x_, "The images.");
    fields.writes("y", y_, "y[i, j, c] = x[i / f, j / f, c*f*f + (i % f)*f + j % f]; of the type and grid of x.");
    fields.integer("factor", factor_, {1, kMaxFactor}, "f.");
  }

  void check(std::span<const TensorType> tensors) override {
    const TensorType &x = tensors[static_cast<std::size_t>(x_)], &y = tensors[static_cast<std::size_t>(y_)];
    check_no_bf16(name, "x", x);
    check_equal(name, "the number of channels of x", x.channels, y.channels * factor_ * factor_,
                "the channels of y times the factor squared");
    if (x.dtype != y.dtype || !(x.grid == y.grid)) refuse(name, ": y must have the type and the grid of x");
  }

  Size size(std::span<const Size> sizes) const override {
    const Size& x = sizes[static_cast<std::size_t>(x_)];
    return {x.height * factor_, x.width * factor_};
  }

  bool takes_narrow_pixels(std::int64_t) const override { return true; }
  bool writes_narrow_pixels() const override { return true; }

  Made make(const KernelSet& set, const TensorRef* tensors) override {
    return {"pixel_shuffle", set.pixel_shuffle({.x = tensors + x_, .y = tensors + y_, .factor = factor_})};
  }

 private:
  std::int64_t x_ = kNoTensor, y_ = kNoTensor, factor_ = 1;
};

}  // namespace

std::unique_ptr<Operation> make_pixel_shuffle_operation() { return std::make_unique<Shuffling>(); }

}  // namespace tilewise
