#include "operations/list.h"
#include "operations/port.h"
#include "program/limits.h"

namespace tilewise {
namespace {

class NetworkOutputOperation final : public PortOperation {
 public:
  void fields(Fields& fields) override {
    fields.reads("x", tensor, "What is given out.");
    fields.flag("flat", flat, "Callers see [N, C*H*W] instead of [N, C, H, W].");
    fields.integer("values", values, {0, std::int64_t{1} << 40}, "C*H*W that a flat result must have; 0: any number.");
  }

  void check(std::span<const TensorType> tensors) override {
    check_no_bf16(name, "x", tensors[static_cast<std::size_t>(tensor)]);
    channels_ = tensors[static_cast<std::size_t>(tensor)].channels;
  }

  Size size(std::span<const Size> sizes) const override {
    const Size& x = sizes[static_cast<std::size_t>(tensor)];
    if (values != 0) check_equal(name, "the number of values", channels_ * x.height * x.width, values, "as the network was compiled");
    return x;
  }

  Made make(const KernelSet& set, const TensorRef* tensors) override {
    return {"output", set.output({.x = tensors + tensor, .port = port})};
  }

 private:
  std::int64_t channels_ = 0;
};

}  // namespace

std::unique_ptr<Operation> make_output_operation() { return std::make_unique<NetworkOutputOperation>(); }

}  // namespace tilewise
