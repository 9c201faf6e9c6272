#include "engine/engine.h"

#include <algorithm>
#include <chrono>
#include <functional>
#include <new>
#include <sstream>
#include <utility>

#include "base/aligned.h"
#include "base/check.h"

namespace tilewise {
namespace {

constexpr std::size_t kMaxScratch = std::size_t{1} << 40;  // of a thread

class OutOfMemory : public std::bad_alloc {
 public:
  OutOfMemory(std::size_t bytes, const char* purpose) {
    std::ostringstream text;
    text << "no memory for the " << bytes << " bytes of " << purpose;
    text_ = std::move(text).str();
  }
  const char* what() const noexcept override { return text_.c_str(); }

 private:
  std::string text_;
};

struct Made {
  const char* kernel;
  std::unique_ptr<Op> op;
};

Made make(const KernelSet& set, const Import& params) { return {"import_nchw", set.import_nchw(params)}; }
Made make(const KernelSet& set, const Export& params) { return {"export_nchw", set.export_nchw(params)}; }
Made make(const KernelSet& set, const Pool& params) { return {"pool", set.pool(params)}; }
Made make(const KernelSet& set, const Eltwise& params) { return {"eltwise", set.eltwise(params)}; }
Made make(const KernelSet& set, const Gather& params) { return {"gather", set.gather(params)}; }
Made make(const KernelSet& set, const Resize& params) { return {"resize", set.resize(params)}; }
Made make(const KernelSet& set, const PixelShuffle& params) {
  return {"pixel_shuffle", set.pixel_shuffle(params)};
}
Made make(const KernelSet& set, const DirectConv& params) {
  if (!params.weight_int8.empty()) return {"direct_int8", set.direct_int8(params)};
  if (!params.weight_int16.empty()) return {"direct_int16", set.direct_int16(params)};
  if (!params.weight_bf16.empty()) return {"direct_bf16", set.direct_bf16(params)};
  return {"direct_f32", set.direct_f32(params)};
}
Made make(const KernelSet& set, const ExactConv& params) { return {"exact_int8", set.exact_int8(params)}; }
Made make(const KernelSet& set, const ResidueConv& params) {
  return {"residue_int8", set.residue_int8(params)};
}
Made make(const KernelSet& set, const FastConv& params) {
  if (!params.u_int8.empty()) return {"fast_int8", set.fast_int8(params)};
  if (!params.u_int16.empty()) return {"fast_int16", set.fast_int16(params)};
  if (!params.u_bf16.empty()) return {"fast_bf16", set.fast_bf16(params)};
  return {"fast_f32", set.fast_f32(params)};
}

void set_weights(DirectConv& params, const Plan::Step& step) {
  params.weight_int8 = step.weight_int8;
  params.weight_int16 = step.weight_int16;
  params.weight_bf16 = step.weight_bf16;
  params.weight_f32 = step.weight_f32;
}
void set_weights(FastConv& params, const Plan::Step& step) {
  params.u_int8 = step.weight_int8;
  params.u_int16 = step.weight_int16;
  params.u_bf16 = step.weight_bf16;
  params.u_f32 = step.weight_f32;
}

std::int64_t image_values(const TensorSpec& tensor) { return tensor.height * tensor.width * tensor.channels; }

std::size_t round_up(std::size_t bytes) { return (bytes + kAlignment - 1) / kAlignment * kAlignment; }

}  // namespace

Memory::Memory(std::size_t bytes, const char* purpose) : block_(std::calloc(1, bytes + kAlignment + kSlack)) {
  if (!block_) throw OutOfMemory(bytes, purpose);
  use_large_pages(block_.get(), bytes);
  const auto address = reinterpret_cast<std::uintptr_t>(block_.get());
  data_ = static_cast<std::byte*>(block_.get()) + (kAlignment - address % kAlignment) % kAlignment;
}

Engine::Engine(const Plan& plan, int threads, const std::string& set)
    : set_(kernel_set(set.c_str())), batch_(plan.batch()), pool_(threads) {
  plan.check_finished();
  input_ = plan.input();
  output_ = plan.output();
  bind_tensors(plan);
  std::size_t scratch = 0;
  for (const Plan::Step& step : plan.steps()) {
    ops_.push_back(prepare(step));
    scratch = std::max(scratch, ops_.back().op->scratch_bytes());
  }
  if (scratch > kMaxScratch)
    refuse("an operation needs ", scratch, " bytes per thread, must be at most ", kMaxScratch);
  scratch_stride_ = round_up(scratch + kSlack);
  scratch_ = Memory(scratch_stride_ * static_cast<std::size_t>(threads), "scratch memory");
}

void Engine::bind_tensors(const Plan& plan) {
  arena_ = Memory(static_cast<std::size_t>(plan.used_bytes()), "activations");
  tensors_.reserve(plan.tensors().size());  // operations keep pointers to them
  for (const TensorSpec& spec : plan.tensors()) {
    tensors_.push_back({.dtype = spec.dtype,
                        .height = spec.height,
                        .width = spec.width,
                        .channels = spec.channels,
                        .stride = spec.stride,
                        .grid = spec.grid,
                        .data = arena_.data() + spec.offset});
  }
}

Engine::Prepared Engine::prepare(const Plan::Step& step) const {
  Made made = std::visit(
      [&](auto params) {
        if constexpr (requires { params.x; }) params.x = tensor(step.wiring.x);
        if constexpr (requires { params.y; }) params.y = tensor(step.wiring.y);
        if constexpr (requires { params.epilogue; }) {
          if (step.wiring.residual) params.epilogue.residual = tensor(*step.wiring.residual);
        }
        if constexpr (requires { set_weights(params, step); }) set_weights(params, step);
        return make(set_, params);
      },
      step.params);
  return {
      .name = step.wiring.name, .algorithm = step.algorithm, .kernel = made.kernel, .op = std::move(made.op)};
}

void Engine::check_call(const float* x, std::int64_t images, const float* y) const {
  if (images < 1) refuse("the number of images is ", images, ", must be at least 1");
  const std::less<const float*> before;
  if (before(x, y + images * image_values(output_)) && before(y, x + images * image_values(input_))) {
    refuse("x and y share memory, must be apart");
  }
}

template <typename Function>
void Engine::for_pieces(const float* x, std::int64_t images, float* y, const Function& function) const {
  for (std::int64_t first = 0; first < images; first += batch_) {
    function(Call{.images = std::min(batch_, images - first),
                  .threads = threads(),
                  .input = x + first * image_values(input_),
                  .output = y + first * image_values(output_)});
  }
}

void Engine::run_op(const Op& op, const Call& call, std::span<ThreadSeconds> seconds) {
  pool_.run(op.tasks(call), [&](std::int64_t begin, std::int64_t end, int thread) {
    const auto index = static_cast<std::size_t>(thread);
    op.run(call, begin, end, scratch_.data() + index * scratch_stride_,
           seconds.empty() ? nullptr : &seconds[index]);
  });
}

void Engine::run(const float* x, std::int64_t images, float* y) {
  check_call(x, images, y);
  const std::lock_guard lock(turn_);
  for_pieces(x, images, y, [&](const Call& call) {
    for (const Prepared& prepared : ops_) run_op(*prepared.op, call, {});
  });
}

// A run as any other, but for a look at the clock after each operation.
void Engine::time_ops(const Call& call, std::span<Sample> samples) {
  auto start = std::chrono::steady_clock::now();
  for (std::size_t i = 0; i < ops_.size(); ++i) {
    run_op(*ops_[i].op, call, {});
    const auto end = std::chrono::steady_clock::now();
    samples[i].seconds += std::chrono::duration<double>(end - start).count();
    start = end;
  }
}

void Engine::time_stages(const Call& call, std::span<Sample> samples) {
  std::vector<ThreadSeconds> seconds(static_cast<std::size_t>(threads()));
  for (std::size_t i = 0; i < ops_.size(); ++i) {
    std::fill(seconds.begin(), seconds.end(), ThreadSeconds());
    run_op(*ops_[i].op, call, seconds);
    for (const ThreadSeconds& thread : seconds) samples[i].stages += thread;
  }
}

std::vector<OpProfile> Engine::profile(const float* x, std::int64_t images, float* y, std::int64_t repeats) {
  check_call(x, images, y);
  if (repeats < 1 || repeats > kMaxRepeats) refuse("repeats is ", repeats, ", must be 1..", kMaxRepeats);
  const auto count = static_cast<std::size_t>(repeats);
  std::vector<std::vector<Sample>> samples(count, std::vector<Sample>(ops_.size()));
  const bool staged =
      std::any_of(ops_.begin(), ops_.end(), [](const Prepared& p) { return p.op->stages().tiles != 0; });
  const std::lock_guard lock(turn_);
  for (std::vector<Sample>& sample : samples) {
    for_pieces(x, images, y, [&](const Call& call) {
      time_ops(call, sample);
      // In a run of its own, as timing the stages takes time itself.
      if (staged) time_stages(call, sample);
    });
  }
  std::vector<OpProfile> result;
  for (std::size_t i = 0; i < ops_.size(); ++i) {
    const auto median = samples.begin() + static_cast<std::ptrdiff_t>(count / 2);
    std::nth_element(samples.begin(), median, samples.end(),
                     [i](const auto& a, const auto& b) { return a[i].seconds < b[i].seconds; });
    result.push_back({.name = ops_[i].name,
                      .kernel = ops_[i].kernel,
                      .algorithm = ops_[i].algorithm,
                      .seconds = (*median)[i].seconds,
                      .stages = (*median)[i].stages});
  }
  return result;
}

}  // namespace tilewise
