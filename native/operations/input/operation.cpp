#include "base/check.h"
#include "operations/list.h"
#include "operations/port.h"
#include "program/limits.h"

namespace tilewise {
namespace {

class NetworkInputOperation final : public PortOperation {
 public:
  void fields(Fields& fields) override {
    fields.writes("y", tensor, "The images.");
    fields.integers("size", fixed, {0, kMaxExtent}, "Height and width that images must have; 0: any.");
    fields.integers("multiple", multiple, {1, kMaxExtent}, "What height and width must be multiples of.");
    fields.may_have("mean", mean_, {"float32"}, 1, "[C], is subtracted from the caller's numbers.");
    fields.may_have("deviation", deviation_, {"float32"}, 1, "[C], what they are divided by then.");
  }

  void check(std::span<const TensorType> tensors) override {
    const TensorType& y = tensors[static_cast<std::size_t>(tensor)];
    if (static_cast<bool>(mean_) != static_cast<bool>(deviation_)) refuse(name, ": mean and deviation must come together");
    if (!mean_) return;
    check_per_channel(name, "mean", mean_, y.channels);
    check_per_channel(name, "deviation", deviation_, y.channels);
    for (const float value : deviation_.values<float>()) {
      if (value == 0) refuse(name, ": deviation holds 0, must be other numbers");
    }
    const auto mean = mean_.values<float>(), deviation = deviation_.values<float>();
    params_.mean.assign(mean.begin(), mean.end());
    params_.deviation.assign(deviation.begin(), deviation.end());
  }

  // What the caller gave: the engine has put it there.
  Size size(std::span<const Size> sizes) const override {
    const Size& given = sizes[static_cast<std::size_t>(tensor)];
    const std::int64_t values[2] = {given.height, given.width};
    for (std::size_t axis = 0; axis < 2; ++axis) {
      const char* const what = axis == 0 ? "the height of the images" : "the width of the images";
      if (fixed[axis] != 0) check_equal(name, what, values[axis], fixed[axis], "what the network was compiled for");
      check_range(name, what, values[axis], 1, kMaxExtent);
      if (values[axis] % multiple[axis] != 0)
        refuse(name, ": ", what, " is ", values[axis], ", must be a multiple of ", multiple[axis]);
    }
    return given;
  }

  bool writes_narrow_pixels() const override { return true; }

  Made make(const KernelSet& set, const TensorRef* tensors) override {
    params_.y = tensors + tensor, params_.port = port;
    return {"input", set.input(params_)};
  }

  void drop_arrays() override { mean_ = {}, deviation_ = {}; }

 private:
  Array mean_, deviation_;
  NetworkInput params_{};
};

}  // namespace

std::unique_ptr<Operation> make_input_operation() { return std::make_unique<NetworkInputOperation>(); }

}  // namespace tilewise
