// Training of quantized fast convolutions: what each kernel set provides beside the engine's operations.
//
// Images are float32, [image][row][column][channel], channels last and without padding; numbers are those of
// docs/contracts/numbers.md. Work is cut into ranges of filters, taps or images, for the caller to share among
// threads: calls with different ranges and scratch memory do not touch each other's results.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

namespace tilewise {

constexpr std::int64_t padded_channels(std::int64_t channels) { return (channels + 15) / 16 * 16; }

// Round x * factor to an integer of low .. high.
struct InputGrid {
  float factor = 1, low = -127, high = 127;
};

// Smallest and largest value; the other way around where there was none.
struct ValueRange {
  float low, high;
};

// A layer and its numbers in this step. Matrices are [rows][columns].
struct TrainingConv {
  std::int64_t images = 0, height = 0, width = 0, channels = 0, filters = 0;
  std::int64_t m = 0, r = 0, n = 0, pad_top = 0, pad_left = 0;
  const float* at = nullptr;      // [m][n]
  const float* g = nullptr;       // [n][r]
  const float* bt = nullptr;      // [n][t], t = m + r - 1
  InputGrid grid;                 // of the input
  const float* mult = nullptr;    // [n*n][channels]: requantization multiplies V by this
  float v_limit = 127;            // V lies in -v_limit .. v_limit afterwards
  const float* v_step = nullptr;  // [n*n][channels]: U is multiplied by this before it is quantized
  float u_limit = 127;            // U lies in -u_limit .. u_limit

  std::int64_t t() const { return m + r - 1; }
  std::int64_t taps() const { return n * n; }
  std::int64_t out_height() const { return height + 2 * pad_top - r + 1; }
  std::int64_t out_width() const { return width + 2 * pad_left - r + 1; }
  std::int64_t tile_rows() const { return (out_height() + m - 1) / m; }
  std::int64_t tile_cols() const { return (out_width() + m - 1) / m; }
  std::int64_t filter_size() const { return channels * r * r; }
  // Integers U, and what sums of products with them start from.
  std::int64_t u_bytes() const { return taps() * padded_channels(filters) * (padded_channels(channels) + 4); }
  std::int64_t transposed_bytes() const {
    return taps() * padded_channels(filters) * padded_channels(channels);
  }
};

struct TrainingForward {
  const float* x;
  const std::uint8_t* u;  // of weights()
  const float* scale;     // [n*n][filters]
  const float* bias;      // [filters], or null
  float* y;
  float* v_absmax;    // [n*n][channels]: is widened
  ValueRange* range;  // of x: is widened
};

// Null where a gradient is not wanted.
struct TrainingBackward {
  const float* x;
  const std::uint8_t *u, *u_transposed;
  const float* scale;
  const float* dy;
  float* dx;
  float* du;         // [n*n][filters][padded channels], of the integers U: is overwritten
  float *dat, *dbt;  // as the matrices: added to
};

// [filters][channels][r*r], the latter two some distance apart; a filter's numbers lie together.
template <typename Float>
struct Filters {
  Float* data;
  std::int64_t channel, tap;  // distances

  Float& at(const std::int64_t filter_offset, std::int64_t c, std::int64_t i) const {
    return data[filter_offset + c * channel + i * tap];
  }
};

struct TrainingWeights {
  Filters<const float> weight;
  const float* scale;
  std::span<const float* const> du;  // their sum is the gradient of U
  Filters<float> dweight;
  float* dg;  // added to; may be null
};

// The kernels for one size of algorithm.
class TrainingKernels {
 public:
  TrainingKernels() = default;
  virtual ~TrainingKernels() = default;
  TrainingKernels(const TrainingKernels&) = delete;
  TrainingKernels& operator=(const TrainingKernels&) = delete;

  // Filters 16 * begin .. 16 * end: U = G g G^T, quantized, and its scale [n*n][filters].
  virtual void weights(const TrainingConv& conv, const Filters<const float>& weight, std::uint8_t* u,
                       float* scale, std::int64_t begin, std::int64_t end, std::byte* scratch) const = 0;
  // Taps begin .. end of U, for backward().
  virtual void transpose(const TrainingConv& conv, const std::uint8_t* u, std::uint8_t* transposed,
                         std::int64_t begin, std::int64_t end) const = 0;
  // Images begin .. end.
  virtual void forward(const TrainingConv& conv, const TrainingForward& call, std::int64_t begin,
                       std::int64_t end, std::byte* scratch) const = 0;
  virtual void backward(const TrainingConv& conv, const TrainingBackward& call, std::int64_t begin,
                        std::int64_t end, std::byte* scratch) const = 0;
  // Filters begin .. end.
  virtual void weights_backward(const TrainingConv& conv, const TrainingWeights& call, std::int64_t begin,
                                std::int64_t end) const = 0;

  virtual std::size_t weights_scratch(const TrainingConv& conv) const = 0;
  virtual std::size_t forward_scratch(const TrainingConv& conv) const = 0;
  virtual std::size_t backward_scratch(const TrainingConv& conv) const = 0;
};

// What a kernel set has for training; the reference set has nothing.
struct Training {
  // The kernels of an algorithm's sizes, or null.
  const TrainingKernels* (*find)(std::int64_t m, std::int64_t r, std::int64_t n) = nullptr;
  // q = clamp(floor(x * factor + 0.5)) * step of `count` numbers, and their range.
  ValueRange (*quantize)(const InputGrid& grid, float step, const float* x, float* q,
                         std::int64_t count) = nullptr;
  // dx = dq * gradient where x was not clipped, else 0.
  void (*quantize_backward)(const InputGrid& grid, float gradient, const float* x, const float* dq, float* dx,
                            std::int64_t count) = nullptr;
};

}  // namespace tilewise
