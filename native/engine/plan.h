// A network as the engine runs it: tensors at fixed places of one block of memory, the arena, and operations
// on them in the order in which they run.
//
// A plan may come from a file of unknown origin. Everything is checked as it is added, completely, so that no
// kernel has to: whatever a finished plan holds can run. What breaks a rule throws std::invalid_argument,
// naming the operation, the value and what is allowed, and leaves the plan as it was.
#pragma once

#include <cstdint>
#include <limits>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "base/tensor.h"
#include "kernels/op.h"

namespace tilewise {

struct TensorSpec {
  std::int64_t height = 1, width = 1, channels = 1;
  std::int64_t stride = 16;  // channels rounded up to 16; what import_nchw writes may have any multiple of 4
  std::int64_t offset = 0;   // of the first image in the arena, in bytes, a multiple of 64
  Dtype dtype = Dtype::kFloat32;
  Grid grid = {};  // integers only; its zero follows from type and low
};

Dtype dtype_of(const std::string& name);  // uint8, int16, bfloat16, float32

// The name of an operation, for errors and profiles, and the tensors it reads and writes.
struct Wiring {
  std::string name;
  std::int64_t x = 0, y = 0;
  std::optional<std::int64_t> residual = std::nullopt;  // added before the activation
};

struct Activation {
  float low = -std::numeric_limits<float>::infinity();
  float high = std::numeric_limits<float>::infinity();
};

using FloatVector = TensorView<const float, 1>;
using IndexVector = TensorView<const std::int64_t, 1>;
using SpanList = TensorView<const std::int64_t, 2>;  // [count, 2]: pairs

// The weights' type decides what a convolution computes in.
template <std::size_t Rank>
using WeightView = std::variant<TensorView<const std::int8_t, Rank>, TensorView<const std::int16_t, Rank>,
                                TensorView<const std::uint16_t, Rank>,  // bf16
                                TensorView<const float, Rank>>;

// What the operations are given; kernels/op.h says what they compute. The arrays are copied.
struct DirectSpec {
  WeightView<4> weight;              // [K, height, width, C]
  std::optional<FloatVector> scale;  // [K], with integer weights only
  FloatVector bias;                  // [K]
  Window window;                     // its size is the weights'
  Activation activation;
  bool unfused = false;
};

struct FastSpec {
  std::string algorithm;  // its name, for profiles
  TensorView<const float, 2> bt, at;
  bool integer = true;
  WeightView<3> u;                                        // [n*n, K, C]
  std::optional<TensorView<const std::int32_t, 2>> mult;  // [n*n, 1 or C], with integers only
  std::optional<TensorView<const float, 2>> scale;        // [n*n, K], with integers only
  std::int64_t v_limit = 127;
  int fraction_bits = 15;
  FloatVector bias;  // [K]
  std::int64_t stride = 1;
  std::int64_t pad_top = 0, pad_left = 0;
  Activation activation;
  std::int64_t block = 0;  // tiles that go through the stages together; 0: as kernels/blocking.h says
};

// The integers of a direct convolution by a fast algorithm; stride and dilation are 1.
struct IntegerSpec {
  std::string algorithm;                    // its name, for profiles
  TensorView<const std::int8_t, 4> weight;  // [K, r, r, C]
  FloatVector scale, bias;                  // [K]
  std::int64_t pad_top = 0, pad_left = 0;
  Activation activation;
  std::int64_t block = 0;
};

// By sums that wrap around.
struct ExactSpec : IntegerSpec {
  TensorView<const std::int32_t, 2> at, g, bt;
};

// By residues.
struct ResidueSpec : IntegerSpec {
  std::int64_t m = 2;
  IndexVector moduli;
};

struct PoolSpec {
  bool maximum = true;
  SpanList rows, cols;  // begin, end of each output row's and column's window
  std::int64_t divisor = 0;
};

struct EltwiseSpec {
  std::optional<FloatVector> scale, bias;  // [C]
  Activation activation;
};

struct GatherSpec {
  IndexVector rows, cols;
  std::int64_t first = 0;
  bool clear = true;
};

struct ResizeSpec {
  SpanList rows, cols;                   // low, high
  FloatVector row_weights, col_weights;  // of high
};

class Plan {
 public:
  Plan(std::int64_t batch, std::int64_t arena_bytes);

  // Tensors are numbered from 0 in the order of the calls. Returns the number.
  std::int64_t add_tensor(const TensorSpec& spec);

  // The first operation is import_nchw, the last export_nchw; after it the plan is finished and accepts no
  // more.
  void import_nchw(const std::string& name, std::int64_t y);
  void export_nchw(const std::string& name, std::int64_t x);
  void direct(const Wiring& wiring, const DirectSpec& spec);
  void fast(const Wiring& wiring, const FastSpec& spec);
  void exact(const Wiring& wiring, const ExactSpec& spec);
  void residue(const Wiring& wiring, const ResidueSpec& spec);
  void pool(const Wiring& wiring, const PoolSpec& spec);
  void eltwise(const Wiring& wiring, const EltwiseSpec& spec);
  // Several gathers may write one tensor: the first one clears it, the others write the channels after its.
  void gather(const Wiring& wiring, const GatherSpec& spec);
  void pixel_shuffle(const Wiring& wiring, std::int64_t factor);
  void resize(const Wiring& wiring, const ResizeSpec& spec);

  // What the engine reads. The pointers and spans in `params` are empty: only the engine knows where tensors
  // are.
  using Params = std::variant<Import, Export, DirectConv, ExactConv, ResidueConv, FastConv, Pool, Eltwise,
                              Gather, PixelShuffle, Resize>;
  struct Step {
    Wiring wiring;
    std::string algorithm = {};  // of a fast or exact convolution
    Params params = {};
    std::vector<std::int8_t> weight_int8 = {};  // of a convolution, one of the four
    std::vector<std::int16_t> weight_int16 = {};
    std::vector<std::uint16_t> weight_bf16 = {};
    std::vector<float> weight_f32 = {};
  };

  std::int64_t batch() const { return batch_; }
  std::int64_t used_bytes() const { return used_bytes_; }  // of the arena
  void check_finished() const;                             // throws unless export_nchw has been added
  const std::vector<TensorSpec>& tensors() const { return tensors_; }
  const std::vector<Step>& steps() const { return steps_; }
  const TensorSpec& input() const { return tensors_[index(steps_.front().wiring.y)]; }
  const TensorSpec& output() const { return tensors_[index(steps_.back().wiring.x)]; }

 private:
  enum class State { kEmpty, kReady, kOverwritten };
  // How far a tensor is written.
  struct Progress {
    State state = State::kEmpty;
    bool read = false;
    std::int64_t gathered = 0;  // channels below this one are written by gathers; 0: not a gather's output
  };

  static std::size_t index(std::int64_t i) { return static_cast<std::size_t>(i); }
  std::int64_t end_of(const TensorSpec& spec) const;
  bool overlap(std::int64_t a, std::int64_t b) const;
  void check_open(const std::string& name) const;
  const TensorSpec& readable(const std::string& name, const char* role, std::int64_t number) const;
  const TensorSpec& writable(const Wiring& wiring) const;
  const TensorSpec& continued(const Wiring& wiring, std::int64_t first) const;
  void check_wiring(const Wiring& wiring) const;
  void check_residual(const Wiring& wiring, const TensorSpec& y) const;
  void append(Step step);

  std::int64_t batch_, arena_bytes_;
  std::int64_t used_bytes_ = 0;
  bool finished_ = false;
  std::vector<TensorSpec> tensors_;
  std::vector<Progress> progress_;  // one per tensor
  std::vector<Step> steps_;
};

}  // namespace tilewise
