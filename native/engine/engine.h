// Runs a program: operations prepared for the sizes at hand by a kernel set, one block of memory for all activations,
// threads that share each operation's work.
#pragma once

#include <cstddef>
#include <cstdint>
#include <list>
#include <memory>
#include <mutex>
#include <span>
#include <string>
#include <vector>

#include "engine/forks.h"
#include "engine/memory.h"
#include "engine/thread_pool.h"
#include "kernels/op.h"
#include "kernels/set.h"
#include "program/program.h"
#include "program/sizes.h"
#include "program/views.h"

namespace tilewise {

// What one operation took in Engine::profile.
struct OperationProfile {
  std::string name, kind;
  std::string kernel;           // as the folders of operations/ list them
  std::string algorithm;        // of a fast convolution
  double seconds = 0;           // median over the repeats
  StageSeconds stages;          // of that repeat, summed over threads; zero where there are none
  std::int64_t operations = 0;  // two for each multiply-add of a direct convolution, for all images
  std::int64_t bytes = 0;       // of activations read and written, and of arrays
};

class Engine {
 public:
  struct Options {
    int threads = 1;
    std::string set;          // a kernel set's name, or empty for the best one
    std::int64_t batch = 16;  // images that go through at once, at most
  };

  // `content` is a .tilewise file, at a multiple of 8 in memory; the engine keeps nothing of it. Throws
  // std::invalid_argument for bad arguments or a bad file, std::bad_alloc if memory is short.
  Engine(std::span<const std::byte> content, const Options& options);
  // Another engine of the same network, with threads and memory of its own, so that both run at once. They share the
  // packed weights. Throws as above.
  Engine(const Engine& other, int threads);

  const Program& program() const { return program_; }
  const KernelSet& set() const { return set_; }
  int threads() const { return pool_.threads(); }
  const PortOperation& input(std::size_t number) const { return input_of(program_, number); }
  const PortOperation& output(std::size_t number) const { return output_of(program_, number); }
  const TensorType& tensor(const PortOperation& port) const {
    return program_.tensors()[static_cast<std::size_t>(port.tensor)];
  }

  // Prepares for inputs of these shapes, all of as many images, if it is not yet; returns the outputs' shapes. The last
  // few sizes stay prepared. A run prepares by itself.
  std::vector<PortShape> prepare(std::span<const PortShape> inputs);

  // Bytes that activations of such inputs take, as many images as go through at once; takes none of them.
  std::int64_t memory(std::span<const PortShape> inputs) const;

  // Callers take turns. Allocates nothing for sizes that are prepared.
  void run(std::span<const PortShape> shapes, std::span<const Port> inputs, std::span<const Port> outputs);

  // Runs `repeats` times, 1..kMaxRepeats, and returns the time of each operation.
  std::vector<OperationProfile> profile(std::span<const PortShape> shapes, std::span<const Port> inputs,
                                        std::span<const Port> outputs, std::int64_t repeats);
  static constexpr std::int64_t kMaxRepeats = 10000;

  // Bytes that all activations take for the sizes prepared so far.
  std::size_t arena_bytes() const { return arena_.bytes(); }

 private:
  // The operations for inputs of certain sizes, up to `images` of them at once.
  struct Prepared {
    std::vector<Size> inputs;
    std::int64_t images = 0;
    std::vector<Size> sizes;  // of all tensors
    std::vector<TensorRef> tensors;
    std::vector<Operation::Made> made;
  };
  struct alignas(kAlignment) ThreadSeconds : StageSeconds {};
  struct Sample {
    double seconds = 0;
    StageSeconds stages;
  };

  // What engines share. Operations hold the packed weights, and one engine at a time makes them for its sizes.
  struct Network {
    explicit Network(std::span<const std::byte> content) : program(content), views(tilewise::views(program)) {}
    Program program;
    std::vector<View> views;
    std::mutex making;
  };

  void number_ports();
  void pack_weights();
  Prepared& prepared(std::span<const PortShape> inputs);
  Prepared sized(std::span<const PortShape> inputs) const;
  Arrangement arranged(const Prepared& prepared) const;
  void bind(Prepared& prepared);
  std::vector<Lifetime> lifetimes(const Prepared& prepared) const;
  void reserve(std::size_t arena, std::size_t scratch);
  std::vector<PortShape> output_shapes(const Prepared& prepared, std::int64_t images) const;
  void check_ports(std::span<const PortShape> shapes, std::span<const Port> inputs, std::span<const Port> outputs) const;
  void check_apart(const Prepared& prepared, std::int64_t images, std::span<const Port> inputs,
                   std::span<const Port> outputs) const;
  // Calls function(call) for the images in pieces of what is prepared.
  template <typename Function>
  void for_pieces(const Prepared& prepared, std::int64_t images, std::span<const Port> inputs,
                  std::span<const Port> outputs, const Function& function);
  void run_op(const Op& op, const Call& call, std::span<ThreadSeconds> seconds);
  void time_ops(const Prepared& prepared, const Call& call, std::span<Sample> samples);
  void time_stages(const Prepared& prepared, const Call& call, std::span<Sample> samples);

  std::shared_ptr<Network> network_;
  Program& program_ = network_->program;
  const std::vector<View>& views_ = network_->views;
  const KernelSet& set_;
  std::int64_t batch_;
  Memory arena_, scratch_;
  std::size_t scratch_stride_ = 0;  // from one thread's scratch memory to the next one's
  std::list<Prepared> prepared_;    // the one used last first
  std::vector<Port> piece_inputs_, piece_outputs_;
  std::mutex turn_;
  ThreadPool pool_;
  // A fork waits until nobody is at work: the child finds everything whole, and starts threads of its own. Whoever makes
  // operations is at work.
  ForkWatch watch_{[this] { turn_.lock(); },
                   [this](bool in_child) {
                     if (in_child) pool_.forget_threads();
                     turn_.unlock();
                   }};
};

}  // namespace tilewise
