#include "base/check.h"
#include "operations/pool/pooling.h"

namespace tilewise {
namespace {

class WindowPooling final : public Pooling {
 public:
  void fields(Fields& fields) override {
    shared_fields(fields);
    fields.integers("kernel", kernel_, {1, kMaxExtent}, "Rows and columns of a window.");
    fields.integers("stride", stride_, {1, kMaxExtent}, "Rows and columns from one window to the next.");
    fields.integers("padding", padding_, {0, kMaxExtent}, "Rows above and below, columns left and right; at most half a window.");
    fields.flag("ceil", ceil_, "A last window may reach beyond the padding.");
    fields.flag("count_padding", count_padding_, "A mean counts padding.");
    fields.integer("divisor", divisor_, {0, kMaxInt32}, "What a mean divides by; 0: the number of pixels.");
  }

  void check(std::span<const TensorType> tensors) override {
    for (std::size_t axis = 0; axis < 2; ++axis)
      check_range(name, "the padding", padding_[axis], 0, kernel_[axis] / 2);
    Pooling::check(tensors);
  }

  Size size(std::span<const Size> sizes) const override {
    const Size& x = sizes[static_cast<std::size_t>(x_)];
    return {count(0, "height", x.height), count(1, "width", x.width)};
  }

 private:
  // As torch: a window begins within the image or the padding before it.
  std::int64_t count(std::size_t axis, const char* what, std::int64_t in) const {
    const std::int64_t pixels = in + 2 * padding_[axis] - kernel_[axis], step = stride_[axis];
    if (pixels < 0)
      refuse(name, ": the ", what, " of its input is ", in, ", must be at least ", kernel_[axis] - 2 * padding_[axis]);
    std::int64_t windows = (pixels + (ceil_ ? step - 1 : 0)) / step + 1;
    if (ceil_ && (windows - 1) * step >= in + padding_[axis]) --windows;
    return windows;
  }

  std::vector<Pool::Span> spans(std::size_t axis, std::int64_t in, std::int64_t out) const override {
    std::vector<Pool::Span> result;
    for (std::int64_t i = 0; i < out; ++i) {
      const std::int64_t begin = i * stride_[axis] - padding_[axis], reach = begin + kernel_[axis];
      const std::int64_t first = std::max<std::int64_t>(begin, 0), last = std::min(reach, in);
      result.push_back({first, last, count_padding_ ? std::min(reach, in + padding_[axis]) - begin : last - first});
    }
    return result;
  }

  std::int64_t kernel_[2] = {1, 1}, stride_[2] = {1, 1}, padding_[2] = {0, 0};
  bool ceil_ = false, count_padding_ = false;
};

}  // namespace

std::unique_ptr<Operation> make_pool_operation() { return std::make_unique<WindowPooling>(); }

}  // namespace tilewise
