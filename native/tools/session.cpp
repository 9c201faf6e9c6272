#include "tools/session.h"

#include <chrono>
#include <cstddef>
#include <new>
#include <stdexcept>
#include <utility>

#include "base/check.h"
#include "base/machine.h"
#include "tools/plan_reader.h"

namespace tilewise::tools {
namespace {

constexpr int kDigits = 9;

std::int64_t values_of(const TensorSpec& tensor) { return tensor.height * tensor.width * tensor.channels; }

// A number of runs.
std::int64_t runs(Fields& command, const char* key, std::int64_t least) {
  const std::int64_t count = command.integer(key);
  if (count < least || count > Engine::kMaxRepeats)
    refuse(key, " is ", count, ", must be ", least, "..", Engine::kMaxRepeats);
  return count;
}

}  // namespace

Session::Session(std::istream& input, std::ostream& output, int threads, const std::string& set)
    : input_(input), output_(output), threads_(threads), set_(kernel_set(set.c_str())) {
  if (threads < 1 || threads > cores())
    refuse("threads is ", threads, ", must be 1..", cores(), ", the cores that this process may use");
  output_.precision(kDigits);
}

void Session::run() {
  greet();
  try {
    while (std::optional<Fields> command = input_.line()) {
      answer(*command);
      output_ << std::endl;  // who asked waits for it
    }
  } catch (const std::invalid_argument& error) {
    refuse("line ", input_.lines(), ": ", error.what());
  } catch (const std::bad_alloc& error) {
    refuse("line ", input_.lines(), ": not enough memory: ", error.what());
  }
}

void Session::greet() {
  output_ << "{\"format\":" << kFormat << ",\"cpu\":\"" << cpu_name() << "\",\"isa\":\"" << set_.name
          << "\",\"threads\":" << threads_ << ",\"compiler\":\"" << compiler() << "\"}" << std::endl;
}

void Session::answer(Fields& command) {
  const std::string& keyword = command.keyword();
  if (keyword == "plan") return load(command);
  if (keyword == "profile") return profile(command);
  if (keyword == "call") return call(command);
  if (keyword == "forget") return forget(command);
  if (keyword == "peaks") return peaks(command);
  refuse("unknown command ", keyword.substr(0, 80), ", must be plan, profile, call, forget or peaks");
}

void Session::load(Fields& command) {
  const Plan plan = read_plan(std::move(command), input_);
  Loaded loaded{.engine = std::make_unique<Engine>(plan, threads_, set_.name),
                .images = plan.batch(),
                .x = random_floats(plan.batch() * values_of(plan.input()), 1),
                .y = std::vector<float>(static_cast<std::size_t>(plan.batch() * values_of(plan.output())))};
  loaded_.emplace(next_, std::move(loaded));
  output_ << "{\"plan\":" << next_++ << "}";
}

void Session::profile(Fields& command) {
  Loaded& plan = loaded(command);
  const std::int64_t repeats = runs(command, "repeats", 1);
  command.check_all_read();
  output_ << "{\"operations\":[";
  const char* separator = "";
  for (const OpProfile& op : plan.engine->profile(plan.x.data(), plan.images, plan.y.data(), repeats)) {
    output_ << separator << "{\"op\":\"" << op.kernel << "\",\"seconds\":" << op.seconds
            << ",\"input_transform\":" << op.stages.input_transform
            << ",\"requantize\":" << op.stages.requantize << ",\"multiply\":" << op.stages.multiply
            << ",\"output_transform\":" << op.stages.output_transform << "}";
    separator = ",";
  }
  output_ << "]}";
}

void Session::call(Fields& command) {
  Loaded& plan = loaded(command);
  const std::int64_t warm_up = runs(command, "warm_up", 0);
  command.check_all_read();
  const auto run = [&] { plan.engine->run(plan.x.data(), plan.images, plan.y.data()); };
  for (std::int64_t i = 0; i < warm_up; ++i) run();
  const auto start = std::chrono::steady_clock::now();
  run();
  const std::chrono::duration<double> seconds = std::chrono::steady_clock::now() - start;
  output_ << "{\"seconds\":" << seconds.count() << "}";
}

void Session::forget(Fields& command) {
  const std::int64_t number = command.integer("plan");
  command.check_all_read();
  if (loaded_.erase(number) == 0) refuse("there is no plan ", number);
  output_ << "{}";
}

void Session::peaks(Fields& command) {
  command.check_all_read();
  const Peaks peaks = set_.measure_peaks();
  output_ << "{\"int8_operations\":" << peaks.int8_operations
          << ",\"float_operations\":" << peaks.float_operations << ",\"cache_bytes\":" << peaks.cache_bytes
          << ",\"memory_bytes\":" << peaks.memory_bytes << "}";
}

Session::Loaded& Session::loaded(Fields& command) {
  const std::int64_t number = command.integer("plan");
  const auto found = loaded_.find(number);
  if (found == loaded_.end()) refuse("there is no plan ", number);
  return found->second;
}

}  // namespace tilewise::tools
