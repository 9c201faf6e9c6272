#include <algorithm>
#include <iterator>
#include <string>
#include <vector>

#include "base/check.h"
#include "operations/binary/params.h"
#include "operations/ending.h"
#include "operations/list.h"
#include "program/limits.h"

namespace tilewise {
namespace {

class BinaryOperation final : public Operation {
 public:
  void fields(Fields& fields) override {
    fields.reads_all("x", x_, "Two: each of their extents is that of y or 1, which serves all.");
    fields.writes("y", y_, "Of the larger extents.");
    fields.text("kind", kind_, "`add`, `subtract`, `multiply`, `divide`, `minimum` or `maximum`.");
    ending_.fields(fields, Ending::Bias::kOptional);
  }

  void check(std::span<const TensorType> tensors) override {
    check_equal(name, "the number of tensors x", std::ssize(x_), 2, "the operands");
    const TensorType &a = at(tensors, x_[0]), &b = at(tensors, x_[1]), &y = at(tensors, y_);
    check_no_bf16(name, "the first operand", a);
    check_no_bf16(name, "the second operand", b);
    check_equal(name, "the number of channels of y", y.channels, shared("channels", a.channels, b.channels),
                "that of what is read");
    const auto* const found = std::ranges::find(kBinaries, kind_);
    if (found == std::end(kBinaries))
      refuse(name, ": kind is ", kind_.substr(0, 80), ", must be add, subtract, multiply, divide, minimum or maximum");
    params_.kind = static_cast<Binary>(found - kBinaries);
    ending_.check(name, tensors, y, params_.epilogue);
  }

  Size size(std::span<const Size> sizes) const override {
    const Size &a = at(sizes, x_[0]), &b = at(sizes, x_[1]);
    const Size y{shared("rows", a.height, b.height), shared("columns", a.width, b.width)};
    ending_.check_size(name, sizes, y);
    return y;
  }

  bool takes_narrow_pixels(std::int64_t) const override { return true; }
  bool writes_narrow_pixels() const override { return true; }

  Made make(const KernelSet& set, const TensorRef* tensors) override {
    params_.a = tensors + x_[0], params_.b = tensors + x_[1], params_.y = tensors + y_;
    params_.epilogue.residual = ending_.residual(tensors);
    return {"binary", set.binary(params_)};
  }

  void drop_arrays() override { ending_.drop_arrays(); }

 private:
  template <typename T>
  static const T& at(std::span<const T> all, std::int64_t number) {
    return all[static_cast<std::size_t>(number)];
  }

  std::int64_t shared(const char* what, std::int64_t a, std::int64_t b) const {
    if (a != b && a != 1 && b != 1)
      refuse(name, ": its operands have ", a, " and ", b, " ", what, ", must have equally many, or one of them 1");
    return std::max(a, b);
  }

  std::vector<std::int64_t> x_;
  std::int64_t y_ = kNoTensor;
  std::string kind_;
  Ending ending_;
  BinaryOf params_{};
};

}  // namespace

std::unique_ptr<Operation> make_binary_operation() { return std::make_unique<BinaryOperation>(); }

}  // namespace tilewise
