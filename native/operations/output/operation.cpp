#include "operations/list.h"
#include "operations/port.h"
#include "program/limits.h"

namespace tilewise {
namespace {

class NetworkOutputOperation final : public PortOperation {
 public:
  void fields(Fields& fields) override {
    fields.reads("x", tensor, "What is given out.");
    fields.may_have("axes", axes_, {"int64"}, 2,
                    "[axes, 4], what callers see after the images, instead of [N, C, H, W]: multiple, divisor, rows, columns stand "
                    "for an axis of multiple * (H if rows) * (W if columns) / divisor.");
    fields.flag("channels_last", channels_last, "They see all channels of a pixel, then the next pixel: [N, H, W, C] with other axes.");
    fields.integer("values", values, {0, std::int64_t{1} << 40}, "C*H*W that it must have; 0: any number.");
  }

  void check(std::span<const TensorType> tensors) override {
    check_no_bf16(name, "x", tensors[static_cast<std::size_t>(tensor)]);
    channels_ = tensors[static_cast<std::size_t>(tensor)].channels;
    flat = static_cast<bool>(axes_);
    if (!flat) {
      if (channels_last) refuse(name, ": has the channels last, must have axes");
      return;
    }
    check_equal(name, "the number of columns of axes", axes_.shape[1], 4, "for one axis each");
    check_range(name, "the number of axes", axes_.shape[0], 0, kMaxAxes);
    const auto numbers = axes_.view<std::int64_t, 2>();
    for (std::int64_t i = 0; i < numbers.shape[0]; ++i) {
      const Extent extent{numbers(i, 0), numbers(i, 1), numbers(i, 2), numbers(i, 3)};
      check_range(name, "the multiple of an axis", extent.multiple, 1, kMaxExtent);
      check_range(name, "the divisor of an axis", extent.divisor, 1, kMaxExtent);
      check_range(name, "the rows of an axis", extent.rows, 0, 1);
      check_range(name, "the columns of an axis", extent.columns, 0, 1);
      axes.push_back(extent);
    }
  }

  Size size(std::span<const Size> sizes) const override {
    const Size& x = sizes[static_cast<std::size_t>(tensor)];
    if (values != 0) check_equal(name, "the number of values", channels_ * x.height * x.width, values, "as the network was compiled");
    if (flat) check_axes(x);
    return x;
  }

  void drop_arrays() override { axes_ = {}; }

  bool takes_narrow_pixels(std::int64_t) const override { return true; }

  Made make(const KernelSet& set, const TensorRef* tensors) override {
    return {"output", set.output({.x = tensors + tensor, .port = port})};
  }

 private:
  static constexpr std::int64_t kMaxAxes = 7;

  // The axes that callers see hold all values.
  void check_axes(const Size& x) const {
    const std::int64_t all = channels_ * x.height * x.width;
    std::int64_t seen = 1;
    for (const Extent& extent : axes) {
      const std::int64_t pixels = (extent.rows ? x.height : 1) * (extent.columns ? x.width : 1);
      if (pixels * extent.multiple % extent.divisor != 0)
        refuse(name, ": an axis has ", pixels * extent.multiple, " values, must have a multiple of ", extent.divisor);
      const std::int64_t size = pixels * extent.multiple / extent.divisor;
      seen = size == 0 || seen > all / size ? 0 : seen * size;
    }
    check_equal(name, "the product of its axes", seen, all, "C*H*W");
  }

  Array axes_;
  std::int64_t channels_ = 0;
};

}  // namespace

std::unique_ptr<Operation> make_output_operation() { return std::make_unique<NetworkOutputOperation>(); }

}  // namespace tilewise
