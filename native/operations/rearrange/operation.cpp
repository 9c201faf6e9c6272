#include <algorithm>
#include <vector>

#include "base/check.h"
#include "operations/list.h"
#include "program/limits.h"

namespace tilewise {
namespace {

// Numbers moved among channels, rows and columns: what a permute does that no view can.
class Rearranging final : public Operation {
 public:
  void fields(Fields& fields) override {
    fields.reads("x", x_, "The images.");
    fields.writes("y", y_, "Of the type and grid of x.");
    fields.array("digits", digits_, {"int64"}, 2,
                 "[digits, 2], the parts of the numbers of x's channels, rows and columns: whose it is (0 channel, 1 row, 2 "
                 "column) and how many values it has (0: as many as the others of its number leave), each before those inside it.");
    for (std::size_t axis = 0; axis < 3; ++axis)
      fields.array(kAxes[axis], axes_[axis], {"int64"}, 1, "The digits that make the number of y's channel (row, column), the outermost first.");
  }

  void check(std::span<const TensorType> tensors) override {
    const TensorType &x = tensors[static_cast<std::size_t>(x_)], &y = tensors[static_cast<std::size_t>(y_)];
    check_no_bf16(name, "x", x);
    if (x.dtype != y.dtype || !(x.grid == y.grid)) refuse(name, ": y must have the type and the grid of x");
    x_channels_ = x.channels, y_channels_ = y.channels;
    check_equal(name, "the number of columns of digits", digits_.shape[1], 2, "for one digit each");
    check_range(name, "the number of digits", digits_.shape[0], 0, kMaxDigits);
    const auto values = digits_.view<std::int64_t, 2>();
    for (std::int64_t i = 0; i < values.shape[0]; ++i) {
      check_range(name, "whose a digit is", values(i, 0), 0, 2);
      check_range(name, "the values of a digit", values(i, 1), 0, kMaxExtent);
      for (const Digit& other : parts_) {
        if (other.base == values(i, 0) && other.size == 0 && values(i, 1) == 0) refuse(name, ": two digits of a number are 0, must be one");
      }
      parts_.push_back({values(i, 0), values(i, 1)});
    }
    std::vector<bool> used(parts_.size(), false);
    for (std::size_t axis = 0; axis < 3; ++axis) {
      for (const std::int64_t digit : axes_[axis].values<std::int64_t>()) {
        check_range(name, "a digit", digit, 0, static_cast<std::int64_t>(parts_.size()) - 1);
        if (used[static_cast<std::size_t>(digit)]) refuse(name, ": digit ", digit, " is used twice, must be once");
        used[static_cast<std::size_t>(digit)] = true;
        order_[axis].push_back(static_cast<std::size_t>(digit));
      }
    }
    if (!std::ranges::all_of(used, [](bool one) { return one; })) refuse(name, ": a digit is not used, must be once");
  }

  Size size(std::span<const Size> sizes) const override {
    const std::vector<Digit> digits = sized(sizes[static_cast<std::size_t>(x_)]);
    check_equal(name, "the number of channels of y", y_channels_, extent(digits, 0), "the product of its digits");
    return {extent(digits, 1), extent(digits, 2)};
  }

  Made make(const KernelSet& set, const TensorRef* tensors) override {
    const TensorRef &x = tensors[x_], &y = tensors[y_];
    const std::vector<Digit> digits = sized({x.height, x.width});
    const std::int64_t steps[] = {1, x.width * x.stride, x.stride};
    return {"rearrange", set.rearrange({.x = &x, .y = &y, .rows = places(digits, 1, steps), .cols = places(digits, 2, steps),
                                        .channels = places(digits, 0, steps)})};
  }

  void drop_arrays() override {
    digits_ = {};
    for (Array& axis : axes_) axis = {};
  }

 private:
  struct Digit {
    std::int64_t base, size, step = 1;  // step: what one more of it adds to its number
  };
  static constexpr const char* kAxes[] = {"channels", "rows", "cols"};
  static constexpr std::int64_t kMaxDigits = 16;

  // The digits of an image of this size.
  std::vector<Digit> sized(const Size& x) const {
    std::vector<Digit> result = parts_;
    const std::int64_t extents[] = {x_channels_, x.height, x.width};
    for (std::int64_t base = 0; base < 3; ++base) {
      std::int64_t known = 1;
      for (const Digit& digit : result) {
        if (digit.base == base && digit.size > 0 && known <= kMaxExtent) known *= digit.size;
      }
      for (Digit& digit : result) {
        if (digit.base == base && digit.size == 0 && extents[base] % known == 0) digit.size = extents[base] / known;
      }
      std::int64_t step = 1;
      for (auto digit = result.rbegin(); digit != result.rend(); ++digit) {
        if (digit->base == base && step <= kMaxExtent) digit->step = step, step *= digit->size;
      }
      if (step != extents[base])
        refuse(name, ": ", extents[base], " ", kNames[base], " are no product of the digits, whose product is ", known);
    }
    return result;
  }

  std::int64_t extent(const std::vector<Digit>& digits, std::size_t axis) const {
    std::int64_t product = 1;
    for (const std::size_t i : order_[axis]) product = std::min(product * digits[i].size, kMaxExtent + 1);
    return product;
  }

  // How far into x each number of y's axis is.
  std::vector<std::int64_t> places(const std::vector<Digit>& digits, std::size_t axis, std::span<const std::int64_t> steps) const {
    std::vector<std::int64_t> result = {0};
    for (const std::size_t i : order_[axis]) {
      std::vector<std::int64_t> finer;
      for (const std::int64_t place : result) {
        for (std::int64_t value = 0; value < digits[i].size; ++value)
          finer.push_back(place + value * digits[i].step * steps[static_cast<std::size_t>(digits[i].base)]);
      }
      result = std::move(finer);
    }
    return result;
  }

  static constexpr const char* kNames[] = {"channels", "rows", "columns"};
  std::int64_t x_ = kNoTensor, y_ = kNoTensor, x_channels_ = 1, y_channels_ = 1;
  Array digits_, axes_[3];
  std::vector<Digit> parts_;
  std::vector<std::size_t> order_[3];  // digits by axis of y
};

}  // namespace

std::unique_ptr<Operation> make_rearrange_operation() { return std::make_unique<Rearranging>(); }

}  // namespace tilewise
