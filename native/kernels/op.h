// What the engine runs: operations on 8-bit and float tensors, and what each kernel set must provide.
//
// Activations lie in memory as [image][row][column][stride], channels last. stride is the distance of two
// pixels in elements, at least the number of channels. Every operation writes all `stride` lanes of every
// pixel of its output; lanes beyond the channels hold zero (the zero point, in 8 bits). Kernels read whole
// vectors, so at least kSlack bytes after a tensor must be readable (what is read there is never used).
//
// Arithmetic is fixed by docs/contracts/numbers.md: every kernel set gives the same integers, and the same
// floats wherever 8-bit numbers are made from them. Nothing here is fused (a*b + c is rounded twice) unless it
// is exact or float to float.
#pragma once

#include <cstddef>
#include <cstdint>
#include <limits>
#include <memory>
#include <span>
#include <vector>

#include "kernels/exact.h"
#include "kernels/residue.h"
#include "kernels/training.h"

namespace tilewise {

inline constexpr std::size_t kAlignment = 64;
inline constexpr std::size_t kSlack = 64;
inline constexpr std::int64_t kMaxTransform = 26;  // largest n, m and t of an algorithm: SFC12(10, 7)

// bf16 is the upper half of a float. Only direct convolutions read such tensors; import, convolutions and
// element-wise operations write them.
enum class Dtype : std::uint8_t { kUint8, kInt16, kBf16, kFloat32 };

constexpr std::int64_t bytes_of(Dtype dtype) {
  return dtype == Dtype::kUint8 ? 1 : dtype == Dtype::kFloat32 ? 4 : 2;
}

// The grid of an integer tensor: the stored number is q + zero, the real one q * step, low <= q <= high.
// In 8 bits zero is 0 (unsigned grids, low = 0) or 128 (signed grids), in 16 bits 0. Unused for float
// tensors.
struct Grid {
  float step = 1;  // real value of one step
  float factor =
      1;  // what a real number is multiplied by to give steps: 1 / step as the training computed it
  std::int32_t low = 0;
  std::int32_t high = 255;
  std::int32_t zero = 0;

  bool operator==(const Grid&) const = default;
};

struct TensorRef {
  Dtype dtype = Dtype::kFloat32;
  std::int64_t height = 0, width = 0, channels = 0, stride = 0;
  Grid grid;
  std::byte* data = nullptr;  // of image 0

  std::int64_t pixels() const { return height * width; }
  std::size_t element_bytes() const { return static_cast<std::size_t>(bytes_of(dtype)); }
  std::size_t image_bytes() const { return static_cast<std::size_t>(pixels() * stride) * element_bytes(); }
};

// What happens between the sum of a convolution (or an element-wise operation) and memory, per channel k:
//   y = sum + bias[k];  y = y + residual;  y = min(max(y, low), high);  store y, or clamp(floor(y * factor +
//   0.5)).
struct Epilogue {
  std::vector<float> bias;              // one per channel
  const TensorRef* residual = nullptr;  // same height, width and channels as the output
  float low = -std::numeric_limits<float>::infinity();
  float high = std::numeric_limits<float>::infinity();
};

// Where the window of an output pixel lies: rows i*stride - pad + k*dilation.
struct Window {
  std::int64_t height = 1, width = 1;
  std::int64_t stride_h = 1, stride_w = 1;
  std::int64_t pad_top = 0, pad_left = 0;
  std::int64_t dilation_h = 1, dilation_w = 1;
};

// Integers: y[k] = scale[k] * sum over window and channels of weight * q, x being kUint8 (q = byte - zero)
// for int8 weights and kInt16 for int16 ones. Floats: y[k] = sum of weight * x, x being kFloat32 or, for bf16
// weights, kBf16; scale is empty.
struct DirectConv {
  const TensorRef* x;
  const TensorRef* y;
  Window window;
  std::span<const std::int8_t> weight_int8;    // [K][height][width][C], one of the four
  std::span<const std::int16_t> weight_int16;  // sum of abs(weight) * max abs(q) < 2^31 for every k
  std::span<const std::uint16_t> weight_bf16;
  std::span<const float> weight_f32;
  std::vector<float> scale;  // [K]
  bool unfused = false;      // float: round products and sums apart, so that every machine agrees
  Epilogue epilogue;
};

// A direct convolution of bytes by int8 weights, with the same sums, by an exact fast algorithm
// (kernels/exact.h): stride and dilation 1, an r x r window, V and U within int16, |sum| < 2^(31 - shift).
struct ExactConv : DirectConv {
  exact::Sizes sizes;
  std::vector<std::int32_t> at, g, bt;
  std::int64_t block = 0;  // as FastConv's
};

// The same by residues (kernels/residue.h): as bytes where all moduli are up to residue::kLargestByteModulus,
// as int16 else; sums of products of residues below 2^31, |sum| at most 15/32 of the product of the moduli.
struct ResidueConv : DirectConv {
  residue::Sizes sizes;
  std::vector<std::int32_t> moduli;
  std::int64_t block = 0;  // as FastConv's
};

// Fast convolution by a bilinear algorithm, stage by stage as in kernels/winograd/contract.h; padding as
// there.
struct FastConv {
  const TensorRef* x;
  const TensorRef* y;
  // Outputs, filter taps, products, inputs from one output to the next.
  std::int64_t m, r, n, stride;
  std::int64_t pad_top, pad_left;
  std::vector<float> bt, at;  // [n][t], [m][n]
  bool integer = false;       // bt holds integers, and V is computed exactly

  std::int64_t t() const { return stride * (m - 1) + r; }

  std::int64_t moduli = 1;  // each of which has its own products
  std::int64_t taps() const { return moduli * n * n; }

  // Integers only: the requantized V lies in [-v_limit, v_limit], mult is [n*n][1 or C], scale [n*n][K].
  std::int64_t v_limit = 127;
  int fraction_bits = 15;
  std::int64_t block = 0;  // tiles that go through the stages together; 0: blocking.h decides
  std::vector<std::int32_t> mult;
  std::vector<float> scale;
  // [n*n][K][C], one of the four. int16: `integer` is set, sum of abs(u) * v_limit < 2^31 for every tap and
  // k. bf16: x is kFloat32, V is rounded to bf16, sums are float.
  std::span<const std::int8_t> u_int8;
  std::span<const std::int16_t> u_int16;
  std::span<const std::uint16_t> u_bf16;
  std::span<const float> u_f32;
  Epilogue epilogue;
};

// Maximum or mean over windows; an output pixel's window is rows[i].begin .. rows[i].end, clipped to the
// image by whoever fills it in. divisor: 0 for the number of pixels in the window, else that number (padding
// counted). The mean is the sum over the window, row by row, times the reciprocal of the number as a float;
// the sum of an integer tensor is exact in int32, and its real value is (float(sum) * step) * reciprocal.
struct Pool {
  struct Span {
    std::int64_t begin, end;
  };
  const TensorRef* x;
  const TensorRef* y;
  bool maximum = true;
  std::vector<Span> rows, cols;  // one per output row, column; never empty
  std::int64_t divisor = 0;
};

// y = epilogue(x * scale[c]) with x as a real number; without scale x itself.
struct Eltwise {
  const TensorRef* x;
  const TensorRef* y;
  std::vector<float> scale;  // [C] or empty
  Epilogue epilogue;         // bias may be empty
};

// Puts pixels and channels elsewhere: y[i, j, first + c] = x[rows[i], cols[j], c] for c below x's channels,
// zero where rows[i] or cols[j] is -1. clear: write zero to all other channels of y first (the first part of
// a concatenation does).
struct Gather {
  const TensorRef* x;
  const TensorRef* y;
  std::vector<std::int64_t> rows, cols;  // one per row, column of y
  std::int64_t first = 0;
  bool clear = true;
};

// y[i, j, c] = x[i / f, j / f, c*f*f + (i % f)*f + j % f]; same dtype and grid.
struct PixelShuffle {
  const TensorRef* x;
  const TensorRef* y;
  std::int64_t factor = 2;
};

// Bilinear interpolation: y = (1-fr)*((1-fc)*x00 + fc*x01) + fr*(...), positions and weights filled in by the
// caller.
struct Resize {
  struct Tap {
    std::int64_t low, high;
    float weight;  // of high
  };
  const TensorRef* x;
  const TensorRef* y;
  std::vector<Tap> rows, cols;
};

// The caller's NCHW float array into the first tensor, and the last tensor out into the caller's NCHW float
// array.
struct Import {
  const TensorRef* y;
};
struct Export {
  const TensorRef* x;
};

// Seconds per stage of a fast convolution, summed over threads.
struct StageSeconds {
  double input_transform = 0, requantize = 0, multiply = 0, output_transform = 0;

  StageSeconds& operator+=(const StageSeconds& other) {
    input_transform += other.input_transform;
    requantize += other.requantize;
    multiply += other.multiply;
    output_transform += other.output_transform;
    return *this;
  }
};

// One call of the network on `images` images.
struct Call {
  std::int64_t images = 1;
  int threads = 1;  // that share the tasks
  const float* input = nullptr;
  float* output = nullptr;
};

// Where the stages of a fast convolution lie in the scratch memory of a thread that has just run one task, so
// that tests see them: V[tap, tile, c] is the byte (less 128), int16, bf16 or float number v + tap * v_tap +
// tile * v_tile
// + c, and M[tap, tile, k] of the last panel of k's is number m + tile * m_tile + k / m_tap * m_vector + tap
// * m_tap + k % m_tap: a vector has m_tap numbers. tiles is the largest size of a block.
struct StageLayout {
  std::int64_t tiles = 0, v = 0, v_tap = 0, v_tile = 0, m = 0, m_tap = 0, m_tile = 0, m_vector = 0, panel = 0;
};

// One operation, prepared: weights packed, tables computed. Immutable once made, so threads share it.
class Op {
 public:
  virtual ~Op() = default;
  Op() = default;
  Op(const Op&) = delete;
  Op& operator=(const Op&) = delete;

  // Independent pieces of work of a call, for the threads to share.
  virtual std::int64_t tasks(const Call& call) const = 0;
  // Bytes of scratch memory a thread needs, aligned to kAlignment. It may hold anything.
  virtual std::size_t scratch_bytes() const { return 0; }
  // Runs tasks begin .. end-1. `seconds` is null unless the caller wants stages timed.
  virtual void run(const Call& call, std::int64_t begin, std::int64_t end, std::byte* scratch,
                   StageSeconds* seconds) const = 0;
  // Only fast convolutions have stages.
  virtual StageLayout stages() const { return {}; }
};

// What one core can do with a set's instructions, per second: the ceilings of a roofline.
struct Peaks {
  double int8_operations, float_operations;  // two for each multiply-add
  double cache_bytes, memory_bytes;          // read from the second-level cache, from memory
};

// A kernel set: one way to make every operation, for one kind of machine. kernels.inc lists the operations.
struct KernelSet {
  const char* name;
  const char* description;
  bool (*supported)();
  Peaks (*measure_peaks)();  // takes about a quarter of a second
  Training training;         // kernels/training.h
#define TILEWISE_KERNEL(name, Params) std::unique_ptr<Op> (*name)(const Params&);
#include "kernels/kernels.inc"
#undef TILEWISE_KERNEL
};

// Best first; the last two, portable and reference, run everywhere.
std::span<const KernelSet* const> kernel_sets();

// The set called `name`, or for an empty name the best this machine supports.
// Throws std::invalid_argument for an unknown name, or one that this machine lacks.
const KernelSet& kernel_set(const char* name);

}  // namespace tilewise
