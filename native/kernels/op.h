// One operation, made for tensors of given sizes, and the call that runs it.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "kernels/tensor.h"

namespace tilewise {

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

// A caller's array of images: [N][C][H][W], or [N][H][W][C] where the channels come last. Inputs are float32 or uint8,
// outputs float32 or what the tensor is stored as.
struct Port {
  std::byte* data = nullptr;
  Dtype dtype = Dtype::kFloat32;
  bool channels_last = false;
};

// One call of the network on `images` images.
struct Call {
  std::int64_t images = 1;
  int threads = 1;  // that share the tasks
  std::span<const Port> inputs = {}, outputs = {};
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

}  // namespace tilewise
