// The convolutions as plainly as docs/contracts/numbers.md and op.h say them, value by value: what every other
// set must equal. Slow. The light operations have one body for all sets.
#include <algorithm>
#include <bit>
#include <cmath>
#include <cstddef>
#include <memory>
#include <span>
#include <vector>

#include "kernels/op.h"
#include "kernels/winograd/output_order.h"

#define TILEWISE_SET reference
#include "kernels/bodies/eltwise.h"
#include "kernels/bodies/format.h"
#include "kernels/bodies/layout.h"
#include "kernels/bodies/pool.h"

namespace tilewise::reference {
namespace {

std::size_t offset(const TensorRef& x, std::int64_t image, std::int64_t row, std::int64_t col,
                   std::int64_t channel) {
  return static_cast<std::size_t>(((image * x.height + row) * x.width + col) * x.stride + channel);
}

// The float whose upper half a bf16 number is.
float widened(std::uint16_t half) { return std::bit_cast<float>(static_cast<std::uint32_t>(half) << 16); }

std::vector<float> widened(std::span<const std::uint16_t> halves) {
  std::vector<float> floats;
  for (const std::uint16_t half : halves) floats.push_back(widened(half));
  return floats;
}

// q of an integer tensor.
int steps(const TensorRef& x, std::size_t at) {
  if (x.dtype == Dtype::kInt16) return reinterpret_cast<const std::int16_t*>(x.data)[at];
  return std::to_integer<int>(x.data[at]) - x.grid.zero;
}

// The value in steps of the grid (integers) or the real value (float); zero outside the image.
double value(const TensorRef& x, std::int64_t image, std::int64_t row, std::int64_t col,
             std::int64_t channel) {
  if (row < 0 || row >= x.height || col < 0 || col >= x.width) return 0;
  const std::size_t at = offset(x, image, row, col, channel);
  if (x.dtype == Dtype::kFloat32) return static_cast<double>(reinterpret_cast<const float*>(x.data)[at]);
  if (x.dtype == Dtype::kBf16)
    return static_cast<double>(widened(reinterpret_cast<const std::uint16_t*>(x.data)[at]));
  return steps(x, at);
}

float real(const TensorRef& x, std::size_t at) {
  if (x.dtype == Dtype::kFloat32) return reinterpret_cast<const float*>(x.data)[at];
  return static_cast<float>(steps(x, at)) * x.grid.step;
}

void finish(const Epilogue& epilogue, const TensorRef& y, float sum, std::int64_t image, std::int64_t row,
            std::int64_t col, std::int64_t channel) {
  const std::size_t at = offset(y, image, row, col, channel);
  float v = sum + (channel < y.channels ? epilogue.bias[static_cast<std::size_t>(channel)] : 0.0F);
  if (epilogue.residual) v = v + real(*epilogue.residual, at);
  v = std::min(std::max(v, epilogue.low), epilogue.high);
  if (y.dtype == Dtype::kFloat32) {
    reinterpret_cast<float*>(y.data)[at] = v;
    return;
  }
  if (y.dtype == Dtype::kBf16) {
    reinterpret_cast<std::uint16_t*>(y.data)[at] = Bf16Format().store(v);
    return;
  }
  const float q = std::clamp(std::floor(v * y.grid.factor + 0.5F), static_cast<float>(y.grid.low),
                             static_cast<float>(y.grid.high));
  if (y.dtype == Dtype::kInt16) {
    reinterpret_cast<std::int16_t*>(y.data)[at] = static_cast<std::int16_t>(q);
  } else {
    y.data[at] = static_cast<std::byte>(static_cast<int>(q) + y.grid.zero);
  }
}

// Runs image by image; keeps its tensors, and the residual's, by value.
template <typename Conv>
class ImageOp : public Op {
 public:
  explicit ImageOp(const Conv& conv) : conv_(conv), x_(*conv.x), y_(*conv.y) {
    if (conv.epilogue.residual) {
      residual_ = *conv.epilogue.residual;
      conv_.epilogue.residual = &residual_;
    }
  }
  std::int64_t tasks(const Call& call) const override { return call.images; }
  void run(const Call&, std::int64_t begin, std::int64_t end, std::byte*, StageSeconds*) const override {
    for (std::int64_t image = begin; image < end; ++image) convolve(image);
  }

 protected:
  virtual void convolve(std::int64_t image) const = 0;
  Conv conv_;
  TensorRef x_, y_, residual_;
};

template <typename Weight>
class Direct final : public ImageOp<DirectConv> {
 public:
  Direct(const DirectConv& conv, std::span<const Weight> weight)
      : ImageOp(conv), weight_(weight.begin(), weight.end()) {}

 private:
  using Sum = std::conditional_t<std::is_same_v<Weight, float>, float, std::int32_t>;

  void convolve(std::int64_t image) const override {
    for (std::int64_t row = 0; row < y_.height; ++row) {
      for (std::int64_t col = 0; col < y_.width; ++col) {
        for (std::int64_t k = 0; k < y_.stride; ++k) {
          float sum = 0;
          if (k < y_.channels) {
            sum = static_cast<float>(window_sum(image, row, col, k));
            if (!std::is_same_v<Weight, float>) sum = sum * conv_.scale[static_cast<std::size_t>(k)];
          }
          finish(conv_.epilogue, y_, sum, image, row, col, k);
        }
      }
    }
  }

  Sum window_sum(std::int64_t image, std::int64_t row, std::int64_t col, std::int64_t k) const {
    const Window& w = conv_.window;
    Sum sum = 0;
    for (std::int64_t i = 0; i < w.height; ++i) {
      for (std::int64_t j = 0; j < w.width; ++j) {
        for (std::int64_t c = 0; c < x_.channels; ++c) {
          const double q = value(x_, image, row * w.stride_h - w.pad_top + i * w.dilation_h,
                                 col * w.stride_w - w.pad_left + j * w.dilation_w, c);
          sum += static_cast<Sum>(q) *
                 static_cast<Sum>(
                     weight_[static_cast<std::size_t>(((k * w.height + i) * w.width + j) * x_.channels + c)]);
        }
      }
    }
    return sum;
  }

  std::vector<Weight> weight_;
};

// A small dense matrix of doubles or floats, row by row.
template <typename T>
struct Grid2 {
  std::int64_t cols;
  std::vector<T> values;
  Grid2(std::int64_t rows, std::int64_t c) : cols(c), values(static_cast<std::size_t>(rows * c)) {}
  T& operator()(std::int64_t i, std::int64_t j) { return values[static_cast<std::size_t>(i * cols + j)]; }
};

template <typename Weight>
class Fast final : public ImageOp<FastConv> {
  static constexpr bool kQuantized = !std::is_same_v<Weight, float>;
  using Sum = std::conditional_t<kQuantized, std::int32_t, float>;

 public:
  Fast(const FastConv& conv, std::span<const Weight> u)
      : ImageOp(conv), u_(u.begin(), u.end()), bf16_(!conv.u_bf16.empty()) {}

 private:
  void convolve(std::int64_t image) const override {
    for (std::int64_t row = 0; row < y_.height; row += conv_.m) {
      for (std::int64_t col = 0; col < y_.width; col += conv_.m) tile(image, row, col);
    }
  }

  void tile(std::int64_t image, std::int64_t row, std::int64_t col) const {
    const std::int64_t taps = conv_.n * conv_.n;
    std::vector<Sum> v(static_cast<std::size_t>(taps * x_.channels));  // [tap][channel]
    for (std::int64_t c = 0; c < x_.channels; ++c) {
      // Integers are exact in double; learned transforms are float arithmetic, step by step.
      if (conv_.integer && kQuantized) input_transform<double>(image, row, col, c, v);
      if (!conv_.integer || !kQuantized) input_transform<float>(image, row, col, c, v);
    }
    for (std::int64_t k = 0; k < y_.stride; ++k) output_transform(image, row, col, k, v);
  }

  template <typename Real>
  void input_transform(std::int64_t image, std::int64_t row, std::int64_t col, std::int64_t c,
                       std::vector<Sum>& v) const {
    const std::int64_t n = conv_.n, t = conv_.t();
    const auto bt = [&](std::int64_t a, std::int64_t i) {
      return static_cast<Real>(conv_.bt[static_cast<std::size_t>(a * t + i)]);
    };
    Grid2<Real> half(n, t);
    for (std::int64_t a = 0; a < n; ++a) {
      for (std::int64_t j = 0; j < t; ++j) {
        for (std::int64_t i = 0; i < t; ++i) {
          half(a, j) += bt(a, i) * static_cast<Real>(value(x_, image, row * conv_.stride + i - conv_.pad_top,
                                                           col * conv_.stride + j - conv_.pad_left, c));
        }
      }
    }
    for (std::int64_t a = 0; a < n; ++a) {
      for (std::int64_t b = 0; b < n; ++b) {
        Real sum = 0;
        for (std::int64_t j = 0; j < t; ++j) sum += half(a, j) * bt(b, j);
        v[static_cast<std::size_t>((a * n + b) * x_.channels + c)] =
            static_cast<Sum>(requantize(sum, a * n + b, c));
      }
    }
  }

  template <typename Real>
  Real requantize(Real v, std::int64_t tap, std::int64_t c) const {
    if (!kQuantized) return bf16_ ? static_cast<Real>(widened(Bf16Format().store(static_cast<float>(v)))) : v;
    const auto columns = static_cast<std::int64_t>(conv_.mult.size()) / (conv_.n * conv_.n);
    const auto mult =
        static_cast<Real>(conv_.mult[static_cast<std::size_t>(tap * columns + std::min(c, columns - 1))]);
    const auto limit = static_cast<Real>(conv_.v_limit);
    return std::clamp(std::floor(v * std::ldexp(mult, -conv_.fraction_bits) + static_cast<Real>(0.5)), -limit,
                      limit);
  }

  void output_transform(std::int64_t image, std::int64_t row, std::int64_t col, std::int64_t k,
                        const std::vector<Sum>& v) const {
    const std::int64_t m = conv_.m, n = conv_.n;
    Grid2<float> half(m, n);
    for (std::int64_t b = 0; b < n; ++b) {
      std::vector<float> column(static_cast<std::size_t>(n), 0.0F);
      for (std::int64_t a = 0; k < y_.channels && a < n; ++a)
        column[static_cast<std::size_t>(a)] = product(a * n + b, k, v);
      const std::vector<float> sums = winograd::apply_in_order(conv_.at, column);
      for (std::int64_t i = 0; i < m; ++i) half(i, b) = sums[static_cast<std::size_t>(i)];
    }
    for (std::int64_t i = 0; i < std::min(m, y_.height - row); ++i) {
      const std::span<const float> row_sums(&half(i, 0), static_cast<std::size_t>(n));
      const std::vector<float> sums = winograd::apply_in_order(conv_.at, row_sums);
      for (std::int64_t j = 0; j < std::min(m, y_.width - col); ++j)
        finish(conv_.epilogue, y_, sums[static_cast<std::size_t>(j)], image, row + i, col + j, k);
    }
  }

  float product(std::int64_t tap, std::int64_t k, const std::vector<Sum>& v) const {
    Sum sum = 0;
    for (std::int64_t c = 0; c < x_.channels; ++c) {
      sum += static_cast<Sum>(u_[static_cast<std::size_t>((tap * y_.channels + k) * x_.channels + c)]) *
             v[static_cast<std::size_t>(tap * x_.channels + c)];
    }
    const auto scaled = static_cast<float>(sum);
    return kQuantized ? scaled * conv_.scale[static_cast<std::size_t>(tap * y_.channels + k)] : scaled;
  }

  std::vector<Weight> u_;
  bool bf16_;
};

std::unique_ptr<Op> make_direct_int8(const DirectConv& conv) {
  return std::make_unique<Direct<std::int8_t>>(conv, conv.weight_int8);
}
std::unique_ptr<Op> make_direct_int16(const DirectConv& conv) {
  return std::make_unique<Direct<std::int16_t>>(conv, conv.weight_int16);
}
std::unique_ptr<Op> make_direct_bf16(const DirectConv& conv) {
  return std::make_unique<Direct<float>>(conv, widened(conv.weight_bf16));
}
std::unique_ptr<Op> make_direct_f32(const DirectConv& conv) {
  return std::make_unique<Direct<float>>(conv, conv.weight_f32);
}
// The same sums, by definition.
std::unique_ptr<Op> make_exact_int8(const ExactConv& conv) { return make_direct_int8(conv); }
std::unique_ptr<Op> make_residue_int8(const ResidueConv& conv) { return make_direct_int8(conv); }
std::unique_ptr<Op> make_fast_int8(const FastConv& conv) {
  return std::make_unique<Fast<std::int8_t>>(conv, conv.u_int8);
}
std::unique_ptr<Op> make_fast_int16(const FastConv& conv) {
  return std::make_unique<Fast<std::int16_t>>(conv, conv.u_int16);
}
std::unique_ptr<Op> make_fast_bf16(const FastConv& conv) {
  return std::make_unique<Fast<float>>(conv, widened(conv.u_bf16));
}
std::unique_ptr<Op> make_fast_f32(const FastConv& conv) {
  return std::make_unique<Fast<float>>(conv, conv.u_f32);
}

}  // namespace
}  // namespace tilewise::reference

namespace tilewise {

extern const KernelSet kReference;
const KernelSet kReference = {
    "reference",
    "any machine: the specification, value by value; for checking, not for speed",
    [] { return true; },
    [] { return Peaks{}; },
    {},
#define TILEWISE_KERNEL(name, Params) reference::make_##name,
#include "kernels/kernels.inc"
#undef TILEWISE_KERNEL
};

}  // namespace tilewise
