#include "tools/session.h"

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <limits>
#include <new>
#include <stdexcept>
#include <utility>

#include "base/aligned.h"
#include "base/check.h"
#include "base/json.h"
#include "base/machine.h"

namespace tilewise::tools {
namespace {

constexpr int kDigits = 9;
constexpr std::size_t kMaxLine = 4096;
constexpr std::int64_t kMaxRuns = 10000, kMaxExtent = 65536;
constexpr std::int64_t kMaxBytes = std::int64_t{1} << 32;
constexpr std::int64_t kChunk = std::int64_t{1} << 20;  // read at a time: a false size costs no memory

void check(tilewise_status status, const tilewise_error& error) {
  if (status == TILEWISE_NO_MEMORY) throw std::bad_alloc();
  if (status != TILEWISE_OK) refuse(error.message);
}

tilewise_array array_of(std::vector<float>& values, const tilewise_shape& shape) {
  return {.name = nullptr,
          .data = values.data(),
          .bytes = values.size() * sizeof(float),
          .dtype = TILEWISE_FLOAT32,
          .layout = TILEWISE_NCHW,
          .shape = shape};
}

std::size_t count_of(const tilewise_shape& shape) {
  return static_cast<std::size_t>(shape.images * shape.channels * shape.height * shape.width);
}

}  // namespace

Session::Session(std::istream& input, std::ostream& output, int threads, const std::string& set)
    : input_(input), output_(output), threads_(threads), set_(kernel_set(set.c_str())) {
  if (threads < 1 || threads > cores())
    refuse("threads is ", threads, ", must be 1..", cores(), ", the cores that this process may use");
  output_.precision(kDigits);
}

std::optional<std::string> Session::line() {
  char text[kMaxLine];
  do {
    ++lines_;
    if (!input_.getline(text, kMaxLine)) {
      if (input_.gcount() == 0 && input_.eof()) return std::nullopt;
      refuse("a line is longer than ", kMaxLine - 1, " bytes");
    }
    if (input_.eof()) refuse("the stream ends within a line");
  } while (text[0] == '\0');
  return text;
}

void Session::run() {
  greet();
  try {
    while (const std::optional<std::string> text = line()) {
      Command command(*text);
      answer(command);
      output_ << std::endl;  // who asked waits for it
    }
  } catch (const std::invalid_argument& error) {
    refuse("line ", lines_, ": ", error.what());
  } catch (const std::bad_alloc& error) {
    refuse("line ", lines_, ": not enough memory: ", error.what());
  }
}

void Session::greet() {
  output_ << "{\"format\":" << kFormat << ",\"cpu\":" << json_text(cpu_name()) << ",\"isa\":\"" << set_.name
          << "\",\"threads\":" << threads_ << ",\"compiler\":" << json_text(compiler()) << "}" << std::endl;
}

void Session::answer(Command& command) {
  const std::string& keyword = command.keyword();
  if (keyword == "program") return load(command);
  if (keyword == "profile") return profile(command);
  if (keyword == "call") return call(command);
  if (keyword == "forget") return forget(command);
  if (keyword == "peaks") return peaks(command);
  refuse("unknown command ", keyword.substr(0, kMaxShown), ", must be program, profile, call, forget or peaks");
}

void Session::load(Command& command) {
  const std::int64_t bytes = command.number("bytes", 1, kMaxBytes), images = command.number("images", 1, kMaxExtent);
  const std::int64_t height = command.number("height", 1, kMaxExtent), width = command.number("width", 1, kMaxExtent);
  command.check_all_read();
  AlignedVector<std::byte> content;
  for (std::int64_t read = 0; read < bytes;) {
    const std::int64_t piece = std::min(kChunk, bytes - read);
    content.resize(static_cast<std::size_t>(read + piece));
    if (!input_.read(reinterpret_cast<char*>(content.data() + read), piece)) refuse("the stream ends within a program");
    read += piece;
  }
  const tilewise_options options{.threads = threads_, .kernel_set = set_.name, .batch = images};
  tilewise_engine* engine = nullptr;
  tilewise_error error;
  check(tilewise_load_memory(content.data(), content.size(), &options, &engine, &error), error);
  Loaded loaded{.engine = std::unique_ptr<tilewise_engine, Free>(engine), .values = {}, .inputs = {}, .outputs = {}};
  std::vector<tilewise_shape> inputs(tilewise_input_count(engine)), outputs(tilewise_output_count(engine));
  for (std::size_t i = 0; i < inputs.size(); ++i) {
    tilewise_port port;
    check(tilewise_input(engine, i, &port, &error), error);
    inputs[i] = {images, port.channels, height, width};
  }
  check(tilewise_prepare(engine, inputs.data(), inputs.size(), outputs.data(), outputs.size(), &error), error);
  for (const tilewise_shape& shape : inputs) loaded.values.push_back(noise(count_of(shape)));
  for (const tilewise_shape& shape : outputs) loaded.values.emplace_back(count_of(shape));
  for (std::size_t i = 0; i < inputs.size(); ++i) loaded.inputs.push_back(array_of(loaded.values[i], inputs[i]));
  for (std::size_t i = 0; i < outputs.size(); ++i)
    loaded.outputs.push_back(array_of(loaded.values[inputs.size() + i], outputs[i]));
  loaded_.emplace(next_, std::move(loaded));
  output_ << "{\"program\":" << next_++ << "}";
}

void Session::profile(Command& command) {
  Loaded& program = loaded(command);
  const std::int64_t repeats = command.number("repeats", 1, kMaxRuns);
  command.check_all_read();
  tilewise_profile* found = nullptr;
  tilewise_error error;
  check(tilewise_measure(program.engine.get(), program.inputs.data(), program.inputs.size(), program.outputs.data(),
                         program.outputs.size(), repeats, &found, &error),
        error);
  const std::unique_ptr<tilewise_profile, decltype(&tilewise_free_profile)> owner(found, tilewise_free_profile);
  output_ << "{\"operations\":[";
  for (std::size_t i = 0; i < tilewise_timing_count(found); ++i) {
    const tilewise_timing& op = tilewise_timings(found)[i];
    output_ << (i == 0 ? "" : ",") << "{\"op\":\"" << op.kernel << "\",\"seconds\":" << op.seconds
            << ",\"input_transform\":" << op.input_transform << ",\"requantize\":" << op.requantize
            << ",\"multiply\":" << op.multiply << ",\"output_transform\":" << op.output_transform << "}";
  }
  output_ << "]}";
}

void Session::call(Command& command) {
  Loaded& program = loaded(command);
  const std::int64_t warm_up = command.number("warm_up", 0, kMaxRuns);
  command.check_all_read();
  tilewise_error error;
  const auto run = [&] {
    check(tilewise_run(program.engine.get(), program.inputs.data(), program.inputs.size(), program.outputs.data(),
                       program.outputs.size(), &error),
          error);
  };
  for (std::int64_t i = 0; i < warm_up; ++i) run();
  const auto start = std::chrono::steady_clock::now();
  run();
  const std::chrono::duration<double> seconds = std::chrono::steady_clock::now() - start;
  output_ << "{\"seconds\":" << seconds.count() << "}";
}

void Session::forget(Command& command) {
  const std::int64_t number = command.number("program", 0, std::numeric_limits<std::int64_t>::max());
  command.check_all_read();
  if (loaded_.erase(number) == 0) refuse("there is no program ", number);
  output_ << "{}";
}

void Session::peaks(Command& command) {
  command.check_all_read();
  const Peaks peaks = set_.measure_peaks();
  output_ << "{\"int8_operations\":" << peaks.int8_operations << ",\"float_operations\":" << peaks.float_operations
          << ",\"cache_bytes\":" << peaks.cache_bytes << ",\"memory_bytes\":" << peaks.memory_bytes << "}";
}

Session::Loaded& Session::loaded(Command& command) {
  const std::int64_t number = command.number("program", 0, std::numeric_limits<std::int64_t>::max());
  const auto found = loaded_.find(number);
  if (found == loaded_.end()) refuse("there is no program ", number);
  return found->second;
}

}  // namespace tilewise::tools
