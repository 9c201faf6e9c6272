#include "bindings/training.h"

#include <nanobind/ndarray.h>
#include <nanobind/stl/optional.h>
#include <nanobind/stl/pair.h>
#include <nanobind/stl/string.h>

#include <algorithm>
#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "base/check.h"
#include "bindings/without_lock.h"
#include "engine/thread_pool.h"
#include "training/step.h"

namespace tilewise {
namespace {

namespace nb = nanobind;
using nb::literals::operator""_a;

template <typename T, std::size_t Rank>
using Array = nb::ndarray<T, nb::ndim<Rank>, nb::c_contig, nb::device::cpu>;
template <std::size_t Rank>
using Floats = Array<const float, Rank>;
template <std::size_t Rank>
using Result = Array<float, Rank>;
template <std::size_t Rank>
using OptionalResult = std::optional<Result<Rank>>;
// Weights as torch keeps them: a filter's numbers together, in one order or another.
template <typename T>
using Weights = nb::ndarray<T, nb::ndim<4>, nb::device::cpu>;
using Pair = std::pair<std::int64_t, std::int64_t>;

template <typename Ndarray>
void check_shape(const char* name, const Ndarray& array, std::initializer_list<std::int64_t> wanted) {
  std::size_t axis = 0;
  for (const std::int64_t extent : wanted) {
    const auto found = static_cast<std::int64_t>(array.shape(axis));
    if (found != extent) refuse(name, " has an extent of ", found, " in axis ", axis, ", must be ", extent);
    ++axis;
  }
}

template <typename T>
Filters<T> filters_of(const char* name, const Weights<T>& weights) {
  const auto size = [&](std::size_t axis) { return static_cast<std::int64_t>(weights.shape(axis)); };
  const bool taps_first = weights.stride(3) == 1;
  const std::int64_t taps = size(2) * size(3), channel = taps_first ? taps : 1,
                     tap = taps_first ? 1 : size(1);
  const std::array<std::int64_t, 4> strides = {size(1) * taps, channel, tap * size(3), tap};
  for (std::size_t axis = 0; axis < strides.size(); ++axis) {
    if (size(axis) > 1 && weights.stride(axis) != strides[axis])
      refuse(name, " must lie in memory like torch's contiguous or channels-last tensors");
  }
  return {weights.data(), channel, tap};
}

int checked_threads(std::int64_t threads) {
  if (threads < 1 || threads > kMaxThreads) refuse("threads is ", threads, ", must be 1..", kMaxThreads);
  return static_cast<int>(threads);
}

// One layer's numbers in one step: what forward and backward both take.
class TrainingStep {
 public:
  TrainingStep(const Floats<2>& at, const Floats<2>& g, const Floats<2>& bt, const Floats<2>& v_range,
               const Floats<2>& balance, Pair padding, Pair grid, float step, float factor, int fraction_bits,
               std::int64_t limit, std::int64_t threads, const std::string& isa)
      : at_(at), g_(g), bt_(bt), set_(kernel_set(isa.c_str())), threads_(checked_threads(threads)) {
    conv_.m = size(at, 0), conv_.n = size(at, 1), conv_.r = size(g, 1);
    check_shape("g", g, {conv_.n, conv_.r});
    check_shape("bt", bt, {conv_.n, conv_.t()});
    conv_.channels = size(v_range, 1);
    check_shape("v_range", v_range, {conv_.taps(), conv_.channels});
    check_shape("balance", balance, {conv_.taps(), conv_.channels});
    conv_.pad_top = padding.first, conv_.pad_left = padding.second;
    if (std::min(conv_.pad_top, conv_.pad_left) < 0) refuse("padding is negative, must be 0 or more");
    if (limit < 1 || limit > 127) refuse("limit is ", limit, ", must be 1..127");
    if (fraction_bits < 15 || fraction_bits > 31)
      refuse("fraction_bits is ", fraction_bits, ", must be 15..31");
    conv_.at = at.data(), conv_.g = g.data(), conv_.bt = bt.data();
    conv_.grid = {factor, static_cast<float>(grid.first), static_cast<float>(grid.second)};
    conv_.v_limit = conv_.u_limit = static_cast<float>(limit);
    training::Multipliers made = training::multipliers(
        {v_range.data(), v_range.size()}, {balance.data(), balance.size()}, conv_, step, fraction_bits);
    mult_ = std::move(made.mult), v_step_ = std::move(made.v_step);
    conv_.mult = mult_.data(), conv_.v_step = v_step_.data();
  }

  // Bytes of U.
  std::int64_t u_bytes(std::int64_t filters) {
    conv_.filters = filters;
    return conv_.u_bytes();
  }

  std::pair<float, float> forward(const Floats<4>& x, const Weights<const float>& weight,
                                  const std::optional<Floats<1>>& bias, const Array<std::uint8_t, 1>& u,
                                  const Result<2>& scale, const Result<4>& y, const Result<2>& v_absmax) {
    take_sizes(x, weight);
    if (bias) check_shape("bias", *bias, {conv_.filters});
    check_u(u, scale);
    check_y("y", y);
    check_shape("v_absmax", v_absmax, {conv_.taps(), conv_.channels});
    const TrainingKernels& found = training::kernels(set_, conv_);
    const Filters<const float> filters = filters_of("weight", weight);
    ValueRange range{};
    const WithoutLock released;
    training::forward(found, conv_,
                      {x.data(), filters, bias ? bias->data() : nullptr, u.data(), scale.data(), y.data(),
                       v_absmax.data(), &range},
                      threads_);
    return {range.low, range.high};
  }

  void backward(const Floats<4>& x, const Weights<const float>& weight, const Array<const std::uint8_t, 1>& u,
                const Floats<2>& scale, const Floats<4>& dy, const OptionalResult<4>& dx,
                const std::optional<Weights<float>>& dweight, const OptionalResult<2>& dat,
                const OptionalResult<2>& dg, const OptionalResult<2>& dbt) {
    take_sizes(x, weight);
    check_u(u, scale);
    check_y("dy", dy);
    if (dx) check_shape("dx", *dx, {conv_.images, conv_.height, conv_.width, conv_.channels});
    if (dweight) check_shape("dweight", *dweight, {conv_.filters, conv_.channels, conv_.r, conv_.r});
    if (dat.has_value() != dg.has_value() || dat.has_value() != dbt.has_value())
      refuse("dat, dg and dbt must be given all or none");
    if (dat && !dweight) refuse("dat, dg and dbt need dweight");
    if (dat) {
      check_shape("dat", *dat, {conv_.m, conv_.n});
      check_shape("dg", *dg, {conv_.n, conv_.r});
      check_shape("dbt", *dbt, {conv_.n, conv_.t()});
    }
    const TrainingKernels& found = training::kernels(set_, conv_);
    const training::Backward call{x.data(),
                                  filters_of("weight", weight),
                                  u.data(),
                                  scale.data(),
                                  dy.data(),
                                  data(dx),
                                  dweight ? filters_of("dweight", *dweight) : Filters<float>{},
                                  data(dat),
                                  data(dg),
                                  data(dbt)};
    const WithoutLock released;
    training::backward(found, conv_, call, threads_);
  }

 private:
  template <typename Ndarray>
  static std::int64_t size(const Ndarray& array, std::size_t axis) {
    return static_cast<std::int64_t>(array.shape(axis));
  }
  template <typename Ndarray>
  static float* data(const std::optional<Ndarray>& array) {
    return array ? array->data() : nullptr;
  }
  void take_sizes(const Floats<4>& x, const Weights<const float>& weight) {
    conv_.filters = size(weight, 0);
    check_shape("weight", weight, {conv_.filters, conv_.channels, conv_.r, conv_.r});
    conv_.images = size(x, 0), conv_.height = size(x, 1), conv_.width = size(x, 2);
    check_shape("x", x, {conv_.images, conv_.height, conv_.width, conv_.channels});
    if (std::min({conv_.images, conv_.height, conv_.width, conv_.channels, conv_.filters}) < 1)
      refuse("x or weight is empty, must have at least one element");
    if (std::min(conv_.out_height(), conv_.out_width()) < 1)
      refuse("x with its padding is smaller than the kernel");
  }
  template <typename U, typename Scale>
  void check_u(const U& u, const Scale& scale) const {
    check_shape("u", u, {conv_.u_bytes()});
    check_shape("scale", scale, {conv_.taps(), conv_.filters});
  }
  template <typename Ndarray>
  void check_y(const char* name, const Ndarray& y) const {
    check_shape(name, y, {conv_.images, conv_.out_height(), conv_.out_width(), conv_.filters});
  }

  Floats<2> at_, g_, bt_;  // keep their memory alive
  std::vector<float> mult_, v_step_;
  const KernelSet& set_;
  int threads_;
  TrainingConv conv_;
};

const KernelSet& training_set(const std::string& isa) {
  const KernelSet& set = kernel_set(isa.c_str());
  if (set.training.find == nullptr) refuse("the kernel set ", set.name, " does not train");
  return set;
}

std::pair<float, float> quantize(const Floats<1>& x, const Result<1>& q, Pair grid, float factor, float step,
                                 std::int64_t threads, const std::string& isa) {
  check_shape("q", q, {static_cast<std::int64_t>(x.shape(0))});
  const KernelSet& set = training_set(isa);
  const int count = checked_threads(threads);
  const WithoutLock released;
  const ValueRange range =
      training::quantize(set, {factor, static_cast<float>(grid.first), static_cast<float>(grid.second)}, step,
                         x.data(), q.data(), static_cast<std::int64_t>(x.shape(0)), count);
  return {range.low, range.high};
}

void quantize_backward(const Floats<1>& x, const Floats<1>& dq, const Result<1>& dx, Pair grid, float factor,
                       float gradient, std::int64_t threads, const std::string& isa) {
  check_shape("dq", dq, {static_cast<std::int64_t>(x.shape(0))});
  check_shape("dx", dx, {static_cast<std::int64_t>(x.shape(0))});
  const KernelSet& set = training_set(isa);
  const int count = checked_threads(threads);
  const WithoutLock released;
  training::quantize_backward(set, {factor, static_cast<float>(grid.first), static_cast<float>(grid.second)},
                              gradient, x.data(), dq.data(), dx.data(), static_cast<std::int64_t>(x.shape(0)),
                              count);
}

bool trains(std::int64_t m, std::int64_t r, std::int64_t n, const std::string& isa) {
  const KernelSet& set = kernel_set(isa.c_str());
  return set.training.find != nullptr && set.training.find(m, r, n) != nullptr;
}

}  // namespace

void bind_training(nb::module_& module) {
  const nb::kw_only kw;
  const auto none = nb::none();
  nb::class_<TrainingStep>(module, "TrainingStep", "One layer's numbers in one step of training.")
      .def(nb::init<const Floats<2>&, const Floats<2>&, const Floats<2>&, const Floats<2>&, const Floats<2>&,
                    Pair, Pair, float, float, int, std::int64_t, std::int64_t, const std::string&>(),
           kw, "at"_a.noconvert(), "g"_a.noconvert(), "bt"_a.noconvert(), "v_range"_a.noconvert(),
           "balance"_a.noconvert(), "padding"_a, "grid"_a, "step"_a, "factor"_a, "fraction_bits"_a, "limit"_a,
           "threads"_a, "isa"_a = "")
      .def("u_bytes", &TrainingStep::u_bytes, "filters"_a)
      .def("forward", &TrainingStep::forward, kw, "x"_a.noconvert(), "weight"_a.noconvert(),
           "bias"_a.noconvert() = none, "u"_a.noconvert(), "scale"_a.noconvert(), "y"_a.noconvert(),
           "v_absmax"_a.noconvert())
      .def("backward", &TrainingStep::backward, kw, "x"_a.noconvert(), "weight"_a.noconvert(),
           "u"_a.noconvert(), "scale"_a.noconvert(), "dy"_a.noconvert(), "dx"_a.noconvert() = none,
           "dweight"_a.noconvert() = none, "dat"_a.noconvert() = none, "dg"_a.noconvert() = none,
           "dbt"_a.noconvert() = none);
  module.def("trains", &trains, "m"_a, "r"_a, "n"_a, "isa"_a = "",
             "Whether a kernel set trains algorithms of these sizes.");
  module.def("quantize", &quantize, kw, "x"_a.noconvert(), "q"_a.noconvert(), "grid"_a, "factor"_a, "step"_a,
             "threads"_a, "isa"_a = "", "q = clamp(floor(x * factor + 0.5)) * step; gives the range of x.");
  module.def("quantize_backward", &quantize_backward, kw, "x"_a.noconvert(), "dq"_a.noconvert(),
             "dx"_a.noconvert(), "grid"_a, "factor"_a, "gradient"_a, "threads"_a, "isa"_a = "",
             "dx = dq * gradient where quantizing x clipped nothing, else zero.");
}

}  // namespace tilewise
