#include "engine/engine.h"

#include <algorithm>
#include <chrono>
#include <functional>
#include <utility>

#include "base/check.h"
#include "program/limits.h"

namespace tilewise {
namespace {

constexpr std::size_t kMaxScratch = std::size_t{1} << 40;  // of a thread
constexpr std::int64_t kMaxArena = std::int64_t{1} << 40;
constexpr std::size_t kMaxPrepared = 4;

std::size_t round_up(std::size_t bytes) { return (bytes + kAlignment - 1) / kAlignment * kAlignment; }

std::int64_t values(const TensorType& tensor, const Size& size) { return size.height * size.width * tensor.channels; }

TensorRef reference(const TensorType& tensor, const Size& size, std::byte* data) {
  return {.dtype = tensor.dtype,
          .height = size.height,
          .width = size.width,
          .channels = tensor.channels,
          .stride = tensor.stride,
          .grid = tensor.grid,
          .data = data};
}

}  // namespace

Engine::Engine(std::span<const std::byte> content, const Options& options)
    : network_(std::make_shared<Network>(content)), set_(kernel_set(options.set.c_str())), batch_(options.batch), pool_(options.threads) {
  if (batch_ < 1 || batch_ > kMaxExtent) refuse("batch is ", batch_, ", must be 1..", kMaxExtent);
  number_ports();
  pack_weights();
  program_.drop_arrays();
}

Engine::Engine(const Engine& other, int threads)
    : network_(other.network_), set_(other.set_), batch_(other.batch_), piece_inputs_(other.piece_inputs_.size()),
      piece_outputs_(other.piece_outputs_.size()), pool_(threads) {}

void Engine::number_ports() {
  for (std::size_t i = 0; i < program_.inputs().size(); ++i)
    static_cast<PortOperation&>(*program_.operations()[program_.inputs()[i]]).port = i;
  for (std::size_t i = 0; i < program_.outputs().size(); ++i)
    static_cast<PortOperation&>(*program_.operations()[program_.outputs()[i]]).port = i;
  piece_inputs_.resize(program_.inputs().size());
  piece_outputs_.resize(program_.outputs().size());
}

// An operation packs its weights when it is made the first time, whatever the size.
void Engine::pack_weights() {
  std::vector<TensorRef> tensors;
  for (const TensorType& tensor : program_.tensors()) tensors.push_back(reference(tensor, {1, 1}, nullptr));
  for (const auto& operation : program_.operations()) {
    if (operation->packs_weights()) operation->make(set_, tensors.data());
  }
}

Engine::Prepared& Engine::prepared(std::span<const PortShape> inputs) {
  const std::int64_t images = inputs.empty() ? 0 : std::min(inputs[0].images, batch_);
  const auto same = [&](const Prepared& p) {
    return p.inputs.size() == inputs.size() &&
           std::equal(inputs.begin(), inputs.end(), p.inputs.begin(),
                      [](const PortShape& shape, const Size& size) { return shape.size == size; });
  };
  const auto found = std::ranges::find_if(prepared_, same);
  const bool known = found != prepared_.end();
  const bool alike = std::ranges::all_of(inputs, [&](const PortShape& shape) { return shape.images == inputs[0].images; });
  if (known && alike && images >= 1 && found->images >= images) {
    prepared_.splice(prepared_.begin(), prepared_, found);
    return prepared_.front();
  }
  Prepared made = sized(inputs);
  for (const PortShape& shape : inputs) made.inputs.push_back(shape.size);
  bind(made);
  std::erase_if(prepared_, same);
  prepared_.push_front(std::move(made));
  if (prepared_.size() > kMaxPrepared) prepared_.pop_back();
  return prepared_.front();
}

// With the sizes of its tensors, and nothing made for them yet.
Engine::Prepared Engine::sized(std::span<const PortShape> inputs) const {
  const std::int64_t images = inputs.empty() ? 0 : std::min(inputs[0].images, batch_);
  return {.inputs = {}, .images = images, .sizes = infer_sizes(program_, inputs), .tensors = {}, .made = {}};
}

// Of all tensors; those that lie within another one take no bytes, and that one lives as long as they do.
std::vector<Lifetime> Engine::lifetimes(const Prepared& prepared) const {
  const auto tensors = program_.tensors();
  const auto operations = program_.operations();
  std::vector<Lifetime> found(tensors.size());
  for (std::size_t i = 0; i < tensors.size(); ++i) {
    if (views_[i].whole != static_cast<std::int64_t>(i)) continue;
    const Size& size = prepared.sizes[i];
    const std::int64_t image = size.height * size.width * tensors[i].stride * bytes_of(tensors[i].dtype);
    if (image > kMaxArena / prepared.images)
      refuse("tensor ", tensors[i].name, " would take ", prepared.images, " times ", image, " bytes, must be at most ", kMaxArena);
    found[i] = {.bytes = prepared.images * image, .first = static_cast<std::int64_t>(operations.size()), .last = 0};
  }
  for (std::size_t i = 0; i < operations.size(); ++i) {
    const auto touch = [&](std::int64_t tensor) {
      Lifetime& lifetime = found[static_cast<std::size_t>(views_[static_cast<std::size_t>(tensor)].whole)];
      lifetime.first = std::min(lifetime.first, static_cast<std::int64_t>(i));
      lifetime.last = static_cast<std::int64_t>(i);
    };
    for (const std::int64_t read : operations[i]->read) touch(read);
    if (operations[i]->written != kNoTensor) touch(operations[i]->written);
  }
  return found;
}

Arrangement Engine::arranged(const Prepared& prepared) const {
  Arrangement arrangement = arrange(lifetimes(prepared));
  if (arrangement.bytes > kMaxArena) refuse("activations would take ", arrangement.bytes, " bytes, must be at most ", kMaxArena);
  return arrangement;
}

std::int64_t Engine::memory(std::span<const PortShape> inputs) const { return arranged(sized(inputs)).bytes; }

// Lays out the tensors and makes the operations.
void Engine::bind(Prepared& prepared) {
  const auto tensors = program_.tensors();
  const Arrangement arrangement = arranged(prepared);
  reserve(static_cast<std::size_t>(arrangement.bytes), 0);
  for (std::size_t i = 0; i < tensors.size(); ++i) {
    const auto whole = static_cast<std::size_t>(views_[i].whole);
    TensorRef tensor = reference(tensors[i], prepared.sizes[i], arena_.data() + arrangement.offsets[whole]);
    tensor.within = whole != i;
    tensor.stride = tensors[whole].stride;
    tensor.data += views_[i].first * bytes_of(tensor.dtype);
    prepared.tensors.push_back(tensor);
  }
  std::size_t scratch = 0;
  {
    const std::lock_guard lock(network_->making);
    for (const auto& operation : program_.operations()) {
      prepared.made.push_back(operation->make(set_, prepared.tensors.data()));
      scratch = std::max(scratch, prepared.made.back().op->scratch_bytes());
    }
  }
  reserve(0, scratch);
}

// Memory for activations grows with the sizes; what was prepared before points to the old one and is made anew.
void Engine::reserve(std::size_t arena, std::size_t scratch) {
  if (arena > arena_.bytes() || arena_.data() == nullptr) {
    prepared_.clear();
    arena_ = Memory();
    arena_ = Memory(arena, "activations");
  }
  if (scratch > kMaxScratch) refuse("an operation needs ", scratch, " bytes per thread, must be at most ", kMaxScratch);
  const std::size_t stride = round_up(scratch + kSlack);
  if (stride <= scratch_stride_) return;
  // Before the old one goes: if there is no memory for it, what is prepared still runs.
  scratch_ = Memory(stride * static_cast<std::size_t>(threads()), "scratch memory");
  scratch_stride_ = stride;
}

std::vector<PortShape> Engine::output_shapes(const Prepared& prepared, std::int64_t images) const {
  std::vector<PortShape> shapes;
  for (std::size_t i = 0; i < program_.outputs().size(); ++i)
    shapes.push_back({images, prepared.sizes[static_cast<std::size_t>(output(i).tensor)]});
  return shapes;
}

std::vector<PortShape> Engine::prepare(std::span<const PortShape> inputs) {
  const std::lock_guard lock(turn_);
  return output_shapes(prepared(inputs), inputs[0].images);
}

void Engine::check_ports(std::span<const PortShape> shapes, std::span<const Port> inputs,
                         std::span<const Port> outputs) const {
  if (inputs.size() != shapes.size()) refuse("there are ", inputs.size(), " arrays, must be ", shapes.size(), " as shapes");
  if (outputs.size() != program_.outputs().size())
    refuse("there are ", outputs.size(), " outputs, must be ", program_.outputs().size());
  for (std::size_t i = 0; i < inputs.size(); ++i) {
    if (inputs[i].dtype != Dtype::kFloat32 && inputs[i].dtype != Dtype::kUint8)
      refuse(input(i).name, ": is ", name_of(inputs[i].dtype), ", must be float32 or uint8");
  }
  for (std::size_t i = 0; i < outputs.size(); ++i) {
    const Dtype stored = tensor(output(i)).dtype;
    if (outputs[i].dtype != Dtype::kFloat32 && outputs[i].dtype != stored)
      refuse(output(i).name, ": is asked for as ", name_of(outputs[i].dtype), ", must be float32",
             stored == Dtype::kFloat32 ? "" : " or ", stored == Dtype::kFloat32 ? "" : name_of(stored));
    if (output(i).flat && outputs[i].channels_last != output(i).channels_last)
      refuse(output(i).name, ": is no map, must be asked for with the channels ", output(i).channels_last ? "last" : "first");
  }
}

// No result lies where an input does.
void Engine::check_apart(const Prepared& prepared, std::int64_t images, std::span<const Port> inputs,
                         std::span<const Port> outputs) const {
  const auto end = [&](const Port& port, const PortOperation& operation) {
    const Size& size = prepared.sizes[static_cast<std::size_t>(operation.tensor)];
    return port.data + images * values(tensor(operation), size) * bytes_of(port.dtype);
  };
  const std::less<const std::byte*> before;
  for (std::size_t i = 0; i < inputs.size(); ++i) {
    for (std::size_t j = 0; j < outputs.size(); ++j) {
      if (before(inputs[i].data, end(outputs[j], output(j))) && before(outputs[j].data, end(inputs[i], input(i))))
        refuse(input(i).name, " and ", output(j).name, " share memory, must be apart");
    }
  }
}

template <typename Function>
void Engine::for_pieces(const Prepared& prepared, std::int64_t images, std::span<const Port> inputs,
                        std::span<const Port> outputs, const Function& function) {
  const auto at = [&](const Port& port, const PortOperation& operation, std::int64_t first) {
    Port piece = port;
    const std::int64_t image = values(tensor(operation), prepared.sizes[static_cast<std::size_t>(operation.tensor)]);
    piece.data += first * image * bytes_of(port.dtype);
    return piece;
  };
  for (std::int64_t first = 0; first < images; first += prepared.images) {
    for (std::size_t i = 0; i < inputs.size(); ++i) piece_inputs_[i] = at(inputs[i], input(i), first);
    for (std::size_t i = 0; i < outputs.size(); ++i) piece_outputs_[i] = at(outputs[i], output(i), first);
    function(Call{.images = std::min(prepared.images, images - first),
                  .threads = threads(),
                  .inputs = piece_inputs_,
                  .outputs = piece_outputs_});
  }
}

void Engine::run_op(const Op& op, const Call& call, std::span<ThreadSeconds> seconds) {
  pool_.run(op.tasks(call), [&](std::int64_t begin, std::int64_t end, int thread) {
    const auto index = static_cast<std::size_t>(thread);
    op.run(call, begin, end, scratch_.data() + index * scratch_stride_, seconds.empty() ? nullptr : &seconds[index]);
  });
}

void Engine::run(std::span<const PortShape> shapes, std::span<const Port> inputs, std::span<const Port> outputs) {
  check_ports(shapes, inputs, outputs);
  const std::lock_guard lock(turn_);
  const Prepared& ready = prepared(shapes);
  check_apart(ready, shapes[0].images, inputs, outputs);
  for_pieces(ready, shapes[0].images, inputs, outputs, [&](const Call& call) {
    for (const Operation::Made& made : ready.made) run_op(*made.op, call, {});
  });
}

// A run as any other, but for a look at the clock after each operation.
void Engine::time_ops(const Prepared& prepared, const Call& call, std::span<Sample> samples) {
  auto start = std::chrono::steady_clock::now();
  for (std::size_t i = 0; i < prepared.made.size(); ++i) {
    run_op(*prepared.made[i].op, call, {});
    const auto end = std::chrono::steady_clock::now();
    samples[i].seconds += std::chrono::duration<double>(end - start).count();
    start = end;
  }
}

void Engine::time_stages(const Prepared& prepared, const Call& call, std::span<Sample> samples) {
  std::vector<ThreadSeconds> seconds(static_cast<std::size_t>(threads()));
  for (std::size_t i = 0; i < prepared.made.size(); ++i) {
    std::fill(seconds.begin(), seconds.end(), ThreadSeconds());
    run_op(*prepared.made[i].op, call, seconds);
    for (const ThreadSeconds& thread : seconds) samples[i].stages += thread;
  }
}

std::vector<OperationProfile> Engine::profile(std::span<const PortShape> shapes, std::span<const Port> inputs,
                                              std::span<const Port> outputs, std::int64_t repeats) {
  if (repeats < 1 || repeats > kMaxRepeats) refuse("repeats is ", repeats, ", must be 1..", kMaxRepeats);
  check_ports(shapes, inputs, outputs);
  const std::lock_guard lock(turn_);
  const Prepared& ready = prepared(shapes);
  check_apart(ready, shapes[0].images, inputs, outputs);
  const auto count = static_cast<std::size_t>(repeats);
  std::vector<std::vector<Sample>> samples(count, std::vector<Sample>(ready.made.size()));
  const bool staged =
      std::ranges::any_of(ready.made, [](const Operation::Made& made) { return made.op->stages().tiles != 0; });
  for (std::vector<Sample>& sample : samples) {
    for_pieces(ready, shapes[0].images, inputs, outputs, [&](const Call& call) {
      time_ops(ready, call, sample);
      // In a run of its own, as timing the stages takes time itself.
      if (staged) time_stages(ready, call, sample);
    });
  }
  std::vector<OperationProfile> result;
  for (std::size_t i = 0; i < ready.made.size(); ++i) {
    const auto median = samples.begin() + static_cast<std::ptrdiff_t>(count / 2);
    std::nth_element(samples.begin(), median, samples.end(),
                     [i](const auto& a, const auto& b) { return a[i].seconds < b[i].seconds; });
    const Operation& operation = *program_.operations()[i];
    std::int64_t bytes = static_cast<std::int64_t>(operation.array_bytes);
    const auto touch = [&](std::int64_t number) {
      const TensorRef& touched = ready.tensors[static_cast<std::size_t>(number)];
      bytes += shapes[0].images * touched.pixels() * touched.channels * bytes_of(touched.dtype);
    };
    for (const std::int64_t read : operation.read) touch(read);
    if (operation.written != kNoTensor) touch(operation.written);
    result.push_back({.name = operation.name,
                      .kind = operation.kind,
                      .kernel = ready.made[i].kernel,
                      .algorithm = operation.algorithm(),
                      .seconds = (*median)[i].seconds,
                      .stages = (*median)[i].stages,
                      .operations = shapes[0].images * operation.operations(ready.sizes),
                      .bytes = bytes});
  }
  return result;
}

}  // namespace tilewise
