#include "engine/checks.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstdlib>
#include <type_traits>

#include "base/check.h"

namespace tilewise::checks {
namespace {

// A kernel adds up weight * byte from -zero * (sum of weights) on, and every sum on the way must fit int32.
constexpr std::int64_t kMaxWeightSum = kMaxInt32 / (255 + 128);

std::int64_t round_up(std::int64_t value, std::int64_t multiple) {
  return (value + multiple - 1) / multiple * multiple;
}

const char* text(Dtype dtype) {
  constexpr const char* kNames[] = {"uint8", "int16", "bfloat16", "float32"};
  return kNames[static_cast<std::size_t>(dtype)];
}

float number(float value) { return value; }
float number(std::uint16_t bf16) { return std::bit_cast<float>(static_cast<std::uint32_t>(bf16) << 16); }

// Every value of a dense array is a number.
template <typename Value, std::size_t Rank>
void finite(const std::string& name, const char* what, const TensorView<const Value, Rank>& values) {
  const std::int64_t count = element_count(values.shape);
  for (std::int64_t i = 0; i < count; ++i) {
    if (!std::isfinite(number(values.data[i]))) {
      refuse(name, ": ", what, " holds ", number(values.data[i]), " at position ", i, ", must be finite");
    }
  }
}

void dtype(const std::string& name, const TensorSpec& x, Dtype expected) {
  if (x.dtype != expected) {
    refuse(name, ": x is ", text(x.dtype), ", must be ", text(expected), " as the weights are ",
           expected == Dtype::kUint8 ? "int8" : text(expected));
  }
}

void grid(const std::string& name, const Grid& grid, Dtype dtype) {
  if (!(grid.step > 0) || !std::isfinite(grid.step))
    refuse(name, ": step is ", grid.step, ", must be finite and above 0");
  if (!(grid.factor > 0) || !std::isfinite(grid.factor)) {
    refuse(name, ": factor is ", grid.factor, ", must be finite and above 0");
  }
  const bool words = dtype == Dtype::kInt16;
  range(name, "low", grid.low, words ? -32767 : -128, 0);
  range(name, "high", grid.high, 1, words ? 32767 : grid.low == 0 ? 255 : 127);
}

void stride(const std::string& name, const TensorSpec& spec) {
  const std::int64_t whole = round_up(spec.channels, kLaneGroup);
  if (spec.stride != whole && (spec.stride % 4 != 0 || spec.stride < spec.channels || spec.stride > whole)) {
    refuse(name, ": stride is ", spec.stride, ", must be ", whole, ", the ", spec.channels,
           " channels rounded up to 16 (or, for the tensor that import_nchw writes, to 4)");
  }
}

// The windows of all output rows (or columns) begin inside the padded image.
void windows(const std::string& name, const char* axis, std::int64_t in, std::int64_t out, std::int64_t step,
             std::int64_t pad) {
  const std::int64_t last = (out - 1) * step - pad;
  if (last >= in + pad) {
    refuse(name, ": the ", axis, " of y is ", out, ", so its last window begins at ", last,
           ", must begin below ", in + pad, ", the end of the padded image");
  }
}

void window(const std::string& name, const Window& window, const TensorSpec& x, const TensorSpec& y) {
  range(name, "the height of the window", window.height, 1, kMaxKernel);
  range(name, "the width of the window", window.width, 1, kMaxKernel);
  range(name, "the vertical stride", window.stride_h, 1, kMaxStep);
  range(name, "the horizontal stride", window.stride_w, 1, kMaxStep);
  range(name, "the vertical dilation", window.dilation_h, 1, kMaxStep);
  range(name, "the horizontal dilation", window.dilation_w, 1, kMaxStep);
  range(name, "the padding above", window.pad_top, 0, kMaxExtent);
  range(name, "the padding to the left", window.pad_left, 0, kMaxExtent);
  windows(name, "height", x.height, y.height, window.stride_h, window.pad_top);
  windows(name, "width", x.width, y.width, window.stride_w, window.pad_left);
}

// The sums of `rows` rows of weights fit int32 whatever the activations are: each row's is at most `most`.
template <typename Weight>
void weight_sums(const std::string& name, const char* what, const Weight* weights, std::int64_t rows,
                 std::int64_t row_length, std::int64_t most) {
  for (std::int64_t row = 0; row < rows; ++row) {
    std::int64_t sum = 0;
    for (std::int64_t i = 0; i < row_length; ++i)
      sum += std::abs(std::int64_t{weights[row * row_length + i]});
    if (sum > most) {
      refuse(name, ": the absolute values of ", what, " ", row, " sum to ", sum, ", must be at most ", most,
             " to fit int32 accumulators");
    }
  }
}

// The type of x that weights are multiplied with, and whether the two are integers.
template <typename Weight>
constexpr Dtype kInput = sizeof(Weight) == 1        ? Dtype::kUint8
                         : sizeof(Weight) == 4      ? Dtype::kFloat32
                         : std::is_signed_v<Weight> ? Dtype::kInt16
                                                    : Dtype::kBf16;
template <typename Weight>
constexpr bool kIntegers = std::is_signed_v<Weight> && std::is_integral_v<Weight>;

template <typename Weight>
void direct_weight(const std::string& name, const DirectSpec& spec, const TensorView<const Weight, 4>& weight,
                   const TensorSpec& x, const TensorSpec& y) {
  dtype(name, x, kInput<Weight>);
  if constexpr (kIntegers<Weight>) {
    const Shape<4>& shape = weight.shape;
    weight_sums(name, "the weights of output channel", weight.data, shape[0], shape[1] * shape[2] * shape[3],
                sizeof(Weight) == 1 ? kMaxWeightSum : kMaxInt32 / largest_q(x));
    if (!spec.scale) refuse(name, ": integer weights need a scale");
    vector(name, "scale", *spec.scale, y.channels);
  } else {
    finite(name, "weight", weight);
    if (spec.scale) refuse(name, ": float weights take no scale");
  }
}

void fast_output(const std::string& name, const char* axis, std::int64_t in, std::int64_t out,
                 std::int64_t pad, std::int64_t r, std::int64_t step) {
  const std::int64_t expected = in + 2 * pad < r ? 0 : (in + 2 * pad - r) / step + 1;
  if (out != expected) {
    refuse(name, ": the ", axis, " of y is ", out, ", must be ", expected, ", from ", in, " with padding ",
           pad, " on both sides, a kernel of ", r, " and a stride of ", step);
  }
}

// V fits 32 bits, in integers and in float; that of 16-bit images fits 38, so that doubles hold it times
// mult.
void growth(const std::string& name, const FastSpec& spec, const TensorSpec& x) {
  const double input = static_cast<double>(largest_q(x));
  const double limit = (x.dtype == Dtype::kUint8 ? static_cast<double>(kMaxInt32) : 274877906944.0) / input;
  double largest = 0;
  for (std::int64_t a = 0; a < spec.bt.shape[0]; ++a) {
    double sum = 0;
    for (std::int64_t i = 0; i < spec.bt.shape[1]; ++i) {
      const double value = spec.bt(a, i);
      if (spec.integer && value != std::trunc(value)) {
        refuse(name, ": bt[", a, ", ", i, "] is ", value, ", must be an integer");
      }
      sum += std::abs(value);
    }
    largest = std::max(largest, sum);
  }
  if (largest * largest > limit) {
    refuse(name, ": the absolute values of a row of bt sum to ", largest, ", must be at most ",
           std::floor(std::sqrt(limit)));
  }
}

void fast_matrices(const std::string& name, const FastSpec& spec) {
  const std::int64_t n = spec.bt.shape[0], t = spec.bt.shape[1], m = spec.at.shape[0];
  range(name, "the number of rows of bt", n, 1, kMaxTransform);
  range(name, "the number of columns of bt", t, 1, kMaxTransform);
  range(name, "stride", spec.stride, 1, kMaxStep);
  range(name, "the number of rows of at", m, 1, (t - 1) / spec.stride + 1);
  equal(name, "the number of columns of at", spec.at.shape[1], n, "the rows of bt");
  finite(name, "bt", spec.bt);
  finite(name, "at", spec.at);
}

template <typename Weight>
void fast_integer(const std::string& name, const FastSpec& spec, const TensorView<const Weight, 3>& u,
                  const TensorSpec& x) {
  constexpr bool bytes = sizeof(Weight) == 1;
  const std::int64_t taps = u.shape[0];
  dtype(name, x, kInput<Weight>);
  if (!bytes && !spec.integer) refuse(name, ": integer is false, must be true as the weights are int16");
  growth(name, spec, x);
  range(name, "v_limit", spec.v_limit, 1, bytes ? 127 : 32767);
  weight_sums(name, "row (tap, output channel) of u", u.data, taps * u.shape[1], u.shape[2],
              bytes ? kMaxWeightSum : kMaxInt32 / spec.v_limit);
  range(name, "fraction_bits", spec.fraction_bits, 15, 31);
  if (!spec.mult || !spec.scale) refuse(name, ": integer weights need mult and scale");
  equal(name, "the number of rows of mult", spec.mult->shape[0], taps, "the taps of u");
  if (spec.mult->shape[1] != 1 && spec.mult->shape[1] != x.channels) {
    refuse(name, ": mult has ", spec.mult->shape[1], " columns, must be 1 or ", x.channels,
           ", the channels of x");
  }
  for (std::int64_t i = 0; i < element_count(spec.mult->shape); ++i)
    range(name, "mult", spec.mult->data[i], 1, 32767);
  equal(name, "the number of rows of scale", spec.scale->shape[0], taps, "the taps of u");
  equal(name, "the number of columns of scale", spec.scale->shape[1], u.shape[1], "the output channels of u");
  finite(name, "scale", *spec.scale);
}

template <typename Weight>
void fast_weight(const std::string& name, const FastSpec& spec, const TensorView<const Weight, 3>& u,
                 const TensorSpec& x) {
  if constexpr (kIntegers<Weight>) {
    fast_integer(name, spec, u, x);
  } else {
    if (x.dtype != Dtype::kFloat32)
      refuse(name, ": x is ", text(x.dtype), ", must be float32 as the weights are float");
    finite(name, "u", u);
    if (spec.mult || spec.scale) refuse(name, ": float weights take neither mult nor scale");
  }
}

}  // namespace

std::int64_t largest_q(const TensorSpec& x) {
  if (x.dtype == Dtype::kUint8) return 255;
  return x.dtype == Dtype::kInt16 ? std::max(-x.grid.low, x.grid.high) : 0;
}

void equal(const std::string& name, const char* what, std::int64_t value, std::int64_t expected,
           const char* meaning) {
  if (value != expected) refuse(name, ": ", what, " is ", value, ", must be ", expected, ", ", meaning);
}

void vector(const std::string& name, const char* what, const FloatVector& values, std::int64_t channels) {
  equal(name, (std::string("the length of ") + what).c_str(), values.shape[0], channels, "the channels of y");
  finite(name, what, values);
}

void activation(const std::string& name, const Activation& activation) {
  if (!(activation.low <= activation.high)) {
    refuse(name, ": the activation is limited to ", activation.low, "..", activation.high,
           ", must be two numbers in order");
  }
}

void range(const std::string& name, const char* what, std::int64_t value, std::int64_t low,
           std::int64_t high) {
  if (value < low || value > high) refuse(name, ": ", what, " is ", value, ", must be ", low, "..", high);
}

void no_bf16(const std::string& name, const char* role, const TensorSpec& spec) {
  if (spec.dtype == Dtype::kBf16) refuse(name, ": ", role, " is bfloat16, must be uint8, int16 or float32");
}

void algorithm_name(const std::string& name, const std::string& algorithm) {
  if (algorithm.size() > kMaxName) refuse(name, ": the name of the algorithm is too long");
}

void operation_name(const std::string& name) {
  if (name.empty() || name.size() > kMaxName) {
    refuse("the name of an operation has ", name.size(), " bytes, must be 1..", kMaxName);
  }
}

TensorSpec tensor(std::int64_t number, const TensorSpec& spec, std::int64_t batch, std::int64_t arena_bytes) {
  const std::string name = "tensor " + std::to_string(number);
  range(name, "height", spec.height, 1, kMaxExtent);
  range(name, "width", spec.width, 1, kMaxExtent);
  range(name, "channels", spec.channels, 1, kMaxExtent);
  stride(name, spec);
  TensorSpec result = spec;
  if (spec.dtype == Dtype::kFloat32 || spec.dtype == Dtype::kBf16) {
    result.grid = Grid();
  } else {
    grid(name, spec.grid, spec.dtype);
    result.grid.zero = spec.grid.low == 0 || spec.dtype == Dtype::kInt16 ? 0 : 128;
  }
  // At most 2^50, and once that is below 2^40, at most 2^56.
  const std::int64_t image = spec.height * spec.width * spec.stride * bytes_of(spec.dtype);
  if (image > arena_bytes || image * batch > arena_bytes || spec.offset < 0 ||
      spec.offset > arena_bytes - image * batch) {
    refuse(name, ": ", batch, " images of ", image, " bytes at offset ", spec.offset, " must lie within the ",
           arena_bytes, " bytes of the arena");
  }
  if (spec.offset % static_cast<std::int64_t>(kAlignment) != 0) {
    refuse(name, ": offset is ", spec.offset, ", must be a multiple of ", kAlignment);
  }
  return result;
}

void direct(const std::string& name, const DirectSpec& spec, const TensorSpec& x, const TensorSpec& y) {
  const Shape<4> shape = std::visit([](const auto& weight) { return weight.shape; }, spec.weight);
  equal(name, "the number of output channels of weight", shape[0], y.channels, "the channels of y");
  equal(name, "the number of input channels of weight", shape[3], x.channels, "the channels of x");
  Window sized = spec.window;
  sized.height = shape[1];
  sized.width = shape[2];
  window(name, sized, x, y);
  vector(name, "bias", spec.bias, y.channels);
  activation(name, spec.activation);
  std::visit([&](const auto& weight) { direct_weight(name, spec, weight, x, y); }, spec.weight);
}

void fast(const std::string& name, const FastSpec& spec, const TensorSpec& x, const TensorSpec& y) {
  fast_matrices(name, spec);
  const std::int64_t n = spec.bt.shape[0], r = spec.bt.shape[1] - spec.stride * (spec.at.shape[0] - 1);
  const Shape<3> shape = std::visit([](const auto& u) { return u.shape; }, spec.u);
  equal(name, "the number of taps of u", shape[0], n * n, "the square of the rows of bt");
  equal(name, "the number of output channels of u", shape[1], y.channels, "the channels of y");
  equal(name, "the number of input channels of u", shape[2], x.channels, "the channels of x");
  range(name, "the padding above", spec.pad_top, 0, kMaxExtent);
  range(name, "the padding to the left", spec.pad_left, 0, kMaxExtent);
  fast_output(name, "height", x.height, y.height, spec.pad_top, r, spec.stride);
  fast_output(name, "width", x.width, y.width, spec.pad_left, r, spec.stride);
  vector(name, "bias", spec.bias, y.channels);
  activation(name, spec.activation);
  range(name, "block", spec.block, 0, kMaxBlock);
  std::visit([&](const auto& u) { fast_weight(name, spec, u, x); }, spec.u);
}

}  // namespace tilewise::checks
