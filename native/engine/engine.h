// Runs a plan: one block of memory for all activations, operations prepared by a kernel set, threads that
// share each operation's work.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <memory>
#include <mutex>
#include <span>
#include <string>
#include <vector>

#include "engine/plan.h"
#include "engine/thread_pool.h"
#include "kernels/op.h"

namespace tilewise {

// Zeroed memory aligned to kAlignment, with kSlack readable bytes after it. Pages that nobody touches cost
// nothing.
class Memory {
 public:
  Memory() = default;
  // Throws an std::bad_alloc that says how much was asked for, and for what.
  Memory(std::size_t bytes, const char* purpose);
  std::byte* data() const { return data_; }

 private:
  struct Free {
    void operator()(void* block) const { std::free(block); }
  };
  std::unique_ptr<void, Free> block_;
  std::byte* data_ = nullptr;
};

// What one operation took in Engine::profile.
struct OpProfile {
  std::string name;
  std::string kernel;     // as in kernels/kernels.inc
  std::string algorithm;  // of a fast convolution
  double seconds = 0;     // median over the repeats
  StageSeconds stages;    // of that repeat, summed over threads; zero where there are none
};

class Engine {
 public:
  // `plan` must be finished; the engine keeps nothing of it. `set`: a kernel set's name, or empty for the
  // best one. Throws std::invalid_argument for bad arguments, std::bad_alloc if memory is short.
  Engine(const Plan& plan, int threads, const std::string& set);

  const KernelSet& set() const { return set_; }
  int threads() const { return pool_.threads(); }
  const TensorSpec& input() const { return input_; }  // of an image
  const TensorSpec& output() const { return output_; }

  // x is [images, C, H, W], y likewise with the output's sizes. Any number of images from 1 on. Callers take
  // turns. Allocates nothing.
  void run(const float* x, std::int64_t images, float* y);

  // Runs `repeats` times, 1..kMaxRepeats, and gives the time of each operation.
  std::vector<OpProfile> profile(const float* x, std::int64_t images, float* y, std::int64_t repeats);
  static constexpr std::int64_t kMaxRepeats = 10000;

 private:
  struct Prepared {
    std::string name, algorithm;
    const char* kernel;
    std::unique_ptr<Op> op;
  };
  struct alignas(kAlignment) ThreadSeconds : StageSeconds {};
  struct Sample {
    double seconds = 0;
    StageSeconds stages;
  };

  void bind_tensors(const Plan& plan);
  Prepared prepare(const Plan::Step& step) const;
  const TensorRef* tensor(std::int64_t number) const { return &tensors_[static_cast<std::size_t>(number)]; }
  void check_call(const float* x, std::int64_t images, const float* y) const;
  // Calls function(call) for the images in pieces of the plan's batch.
  template <typename Function>
  void for_pieces(const float* x, std::int64_t images, float* y, const Function& function) const;
  void run_op(const Op& op, const Call& call, std::span<ThreadSeconds> seconds);
  void time_ops(const Call& call, std::span<Sample> samples);
  void time_stages(const Call& call, std::span<Sample> samples);

  const KernelSet& set_;
  std::int64_t batch_;
  TensorSpec input_, output_;
  Memory arena_, scratch_;
  std::size_t scratch_stride_ = 0;  // from one thread's scratch memory to the next one's
  std::vector<TensorRef> tensors_;
  std::vector<Prepared> ops_;
  std::mutex turn_;
  ThreadPool pool_;
};

}  // namespace tilewise
