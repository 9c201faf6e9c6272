// The operator ai.tilewise.Program for ONNX Runtime: its attribute `program` is a whole .tilewise file, its inputs and
// outputs are that network's, in their order, as floats. It runs through the C interface.
#include <algorithm>
#include <charconv>
#include <map>
#include <memory>
#include <mutex>
#include <stdexcept>
#include <string>
#include <vector>

#include "c_api/tilewise.h"
#include "onnxruntime/ort.h"

namespace tilewise::ort {
namespace {

constexpr const char* kDomain = "ai.tilewise";
constexpr const char* kThreads = "tilewise.threads";

// What goes wrong, with the code that ONNX Runtime shall see.
class Fault : public std::runtime_error {
 public:
  Fault(Code code, const std::string& text) : std::runtime_error(text), code(code) {}
  Code code;
};

void check(tilewise_status status, const tilewise_error& error) {
  if (status == TILEWISE_OK) return;
  throw Fault(status == TILEWISE_INVALID ? kInvalidArgument : status == TILEWISE_INTERNAL ? kRuntimeException : kFail,
              error.message);
}

// Of a call to ONNX Runtime: its status becomes an exception.
void check(const Table* table, OrtStatus* status) {
  if (status == nullptr) return;
  const std::string text = error_message(table, status);
  release_status(table, status);
  throw Fault(kFail, text);
}

// Runs function(); an exception becomes a status.
template <typename Run>
OrtStatus* guarded(const Table* table, const Run& run) noexcept {
  try {
    run();
    return nullptr;
  } catch (const Fault& fault) {
    return create_status(table, fault.code, fault.what());
  } catch (const std::exception& fault) {
    return create_status(table, kFail, fault.what());
  }
}

using Engine = std::unique_ptr<tilewise_engine, decltype(&tilewise_free)>;

// The axes of a result as callers see it.
std::vector<std::int64_t> axes_of(const tilewise_port& port, const tilewise_shape& shape) {
  if (port.flat == 0) return {shape.images, shape.channels, shape.height, shape.width};
  std::vector<std::int64_t> found{shape.images};
  for (std::size_t i = 0; i < port.axis_count; ++i) {
    const auto& [multiple, divisor, rows, columns] = port.axes[i];
    found.push_back(multiple * (rows != 0 ? shape.height : 1) * (columns != 0 ? shape.width : 1) / divisor);
  }
  return found;
}

// A node of a session. Runs at once have engines of their own, which share the packed weights.
class Kernel {
 public:
  Kernel(const Table* table, const OrtKernelInfo* info, int threads)
      : table_(table), threads_(threads), first_(nullptr, &tilewise_free) {
    std::size_t bytes = 0;
    check(table, string_attribute(table, info, "program", nullptr, &bytes));
    std::string content(bytes, '\0');
    check(table, string_attribute(table, info, "program", content.data(), &bytes));
    const tilewise_options options{.threads = threads, .kernel_set = nullptr, .batch = 0};
    tilewise_engine* made = nullptr;
    tilewise_error error;
    check(tilewise_load_memory(content.data(), bytes - 1, &options, &made, &error), error);  // a zero byte ends it
    first_.reset(made);
    for (std::size_t i = 0; i < tilewise_input_count(made); ++i)
      check(tilewise_input(made, i, &inputs_.emplace_back(), &error), error);
    for (std::size_t i = 0; i < tilewise_output_count(made); ++i)
      check(tilewise_output(made, i, &outputs_.emplace_back(), &error), error);
  }

  void compute(OrtKernelContext* context) {
    std::size_t count = 0;
    check(table_, input_count(table_, context, &count));
    std::vector<tilewise_array> given;
    for (std::size_t i = 0; i < count; ++i) given.push_back(input_array(context, i));
    check(table_, output_count(table_, context, &count));
    std::vector<tilewise_shape> shapes(count), asked;
    for (const tilewise_array& array : given) asked.push_back(array.shape);
    Engine engine = take();
    tilewise_error error;
    check(tilewise_prepare(engine.get(), asked.data(), asked.size(), shapes.data(), count, &error), error);
    std::vector<tilewise_array> results;
    for (std::size_t i = 0; i < count; ++i) results.push_back(output_array(context, i, shapes[i]));
    check(tilewise_run(engine.get(), given.data(), given.size(), results.data(), count, &error), error);
    give_back(std::move(engine));
  }

  const Table* table() const { return table_; }

 private:
  tilewise_array input_array(const OrtKernelContext* context, std::size_t number) const {
    const OrtValue* value = nullptr;
    check(table_, input(table_, context, number, &value));
    OrtTensorTypeAndShapeInfo* shape = nullptr;
    check(table_, tensor_shape(table_, value, &shape));
    const auto release = [this](OrtTensorTypeAndShapeInfo* given) { release_shape(table_, given); };
    const std::unique_ptr<OrtTensorTypeAndShapeInfo, decltype(release)> owner(shape, release);
    std::size_t count = 0;
    check(table_, axis_count(table_, shape, &count));
    if (count != 4) {
      throw Fault(kInvalidArgument, "input " + std::to_string(number) + " has " + std::to_string(count) +
                                        " axes, must have 4: images, channels, height, width");
    }
    tilewise_shape found{};
    std::int64_t extents[4];
    check(table_, axes(table_, shape, extents, count));
    found = {.images = extents[0], .channels = extents[1], .height = extents[2], .width = extents[3]};
    return array(const_cast<OrtValue*>(value), found, found.images * found.channels * found.height * found.width,
                 TILEWISE_NCHW);
  }

  tilewise_array output_array(OrtKernelContext* context, std::size_t number, const tilewise_shape& shape) const {
    const tilewise_port& port = outputs_[number];
    const std::vector<std::int64_t> extents = axes_of(port, shape);
    OrtValue* value = nullptr;
    check(table_, output(table_, context, number, extents.data(), extents.size(), &value));
    return array(value, shape, shape.images * shape.channels * shape.height * shape.width,
                 port.channels_last != 0 ? TILEWISE_NHWC : TILEWISE_NCHW);
  }

  tilewise_array array(OrtValue* value, const tilewise_shape& shape, std::int64_t values, tilewise_layout layout) const {
    void* data = nullptr;
    check(table_, tensor_data(table_, value, &data));
    return {.name = nullptr,
            .data = data,
            .bytes = static_cast<std::size_t>(values) * sizeof(float),
            .dtype = TILEWISE_FLOAT32,
            .layout = layout,
            .shape = shape};
  }

  // An engine that no other run has: the last one that was given back, or a new one. What fails is freed.
  Engine take() {
    const std::lock_guard lock(mutex_);
    if (!idle_.empty()) {
      Engine found = std::move(idle_.back());
      idle_.pop_back();
      return found;
    }
    tilewise_engine* made = nullptr;
    tilewise_error error;
    check(tilewise_share(first_.get(), threads_, &made, &error), error);
    return {made, &tilewise_free};
  }

  void give_back(Engine engine) {
    const std::lock_guard lock(mutex_);
    idle_.push_back(std::move(engine));
  }

  const Table* table_;
  int threads_;
  Engine first_;  // holds the weights, and is what others are made from; it runs nothing, so it needs no turn
  std::vector<tilewise_port> inputs_, outputs_;
  std::mutex mutex_;
  std::vector<Engine> idle_;
};

// The operator as sessions of so many threads have it. What ONNX Runtime is given must live as long as it does.
struct Operator : OrtCustomOp {
  explicit Operator(int threads) : OrtCustomOp{}, threads(threads) {
    version = kInterface;
    name = [](const OrtCustomOp*) { return "Program"; };
    provider = [](const OrtCustomOp*) -> const char* { return nullptr; };
    input_type = output_type = [](const OrtCustomOp*, std::size_t) { return kFloat; };
    OrtCustomOp::input_count = OrtCustomOp::output_count = [](const OrtCustomOp*) { return std::size_t{1}; };
    input_characteristic = output_characteristic = [](const OrtCustomOp*, std::size_t) { return kVariadic; };
    input_memory = [](const OrtCustomOp*, std::size_t) { return 0; };
    fewest_inputs = inputs_alike = fewest_outputs = outputs_alike = [](const OrtCustomOp*) { return 1; };
    try_create = [](const OrtCustomOp* own, const Table* table, const OrtKernelInfo* info, void** made) {
      return guarded(table, [&] { *made = new Kernel(table, info, static_cast<const Operator*>(own)->threads); });
    };
    try_compute = [](void* kernel, OrtKernelContext* context) {
      auto* const own = static_cast<Kernel*>(kernel);
      return guarded(own->table(), [&] { own->compute(context); });
    };
    destroy = [](void* kernel) { delete static_cast<Kernel*>(kernel); };
  }
  int threads;
};

// How many threads the options of a session ask for.
int threads_of(const Table* table, const OrtSessionOptions* options) {
  int given = 0, threads = 0;
  check(table, has_entry(table, options, kThreads, &given));
  if (given == 0) return 1;
  std::size_t bytes = 0;
  check(table, entry(table, options, kThreads, nullptr, &bytes));
  std::string text(bytes, '\0');
  check(table, entry(table, options, kThreads, text.data(), &bytes));
  text.resize(bytes - 1);
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), threads);
  if (error != std::errc() || end != text.data() + text.size() || threads < 1)
    throw Fault(kInvalidArgument, std::string(kThreads) + " is " + text + ", must be a number from 1 on");
  return threads;
}

void add_to(const Table* table, OrtSessionOptions* options) {
  static std::mutex mutex;
  static std::map<int, std::pair<Operator, OrtCustomOpDomain*>>& domains =
      *new std::map<int, std::pair<Operator, OrtCustomOpDomain*>>;  // sessions may outlive what a process takes down
  const std::lock_guard lock(mutex);
  const int threads = threads_of(table, options);
  auto found = domains.find(threads);
  if (found == domains.end()) {
    OrtCustomOpDomain* domain = nullptr;
    check(table, create_domain(table, kDomain, &domain));
    found = domains.emplace(threads, std::pair(Operator(threads), domain)).first;
    check(table, add_operator(table, domain, &found->second.first));
  }
  check(table, add_domain(table, options, found->second.second));
}

}  // namespace
}  // namespace tilewise::ort

// What SessionOptions.register_custom_ops_library calls.
extern "C" TILEWISE_API OrtStatus* RegisterCustomOps(OrtSessionOptions* options, const OrtApiBase* base) {
  using namespace tilewise::ort;
  const Table* const table = base->table(kInterface);
  if (table == nullptr) {
    const std::string text = std::string("ONNX Runtime is ") + base->version() + ", must be 1.16 or later";
    return create_status(base->table(kOldestStatus), kFail, text.c_str());
  }
  return guarded(table, [&] { add_to(table, options); });
}
