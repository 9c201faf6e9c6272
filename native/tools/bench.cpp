// tilewise-bench: times one operation by every kernel set, in turns, and compares what each computes with the reference.
//
//   tilewise-bench "direct channels=64 filters=64 height=56 width=56" [--seconds 0.5] [--set NAME]
//
// The problem is a folder of operations/ and fields, all of which have defaults: images, height, width, threads, and what
// the folder's bench.cpp reads. Status 1 if a kernel set computes something else than the reference.
#include "tools/bench.h"

#include <algorithm>
#include <charconv>
#include <chrono>
#include <cmath>
#include <cstddef>
#include <cstdio>
#include <exception>
#include <iostream>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/check.h"
#include "engine/engine.h"
#include "kernels/set.h"

namespace tilewise::tools {
namespace {

constexpr std::int64_t kMaxPixels = 4096, kMaxImages = 64;
constexpr std::size_t kLeastRounds = 3, kMaxRounds = 10000;

struct Arguments {
  std::string problem;
  double seconds = 0.5;  // for each kernel set
  std::string set;       // only this one and the reference
};

Arguments arguments_of(int argc, char** argv) {
  Arguments arguments;
  if (argc < 2) refuse("there is no problem, such as \"direct channels=64\"");
  arguments.problem = argv[1];
  for (int i = 2; i < argc; i += 2) {
    const std::string_view option = argv[i];
    if (option != "--seconds" && option != "--set") refuse("unknown option ", option, ", must be --seconds or --set");
    if (i + 1 == argc) refuse(option, " needs a value");
    const std::string_view value = argv[i + 1];
    if (option == "--set") {
      arguments.set = value;
    } else {
      const auto [end, error] = std::from_chars(value.data(), value.data() + value.size(), arguments.seconds);
      if (error != std::errc() || end != value.data() + value.size() || !(arguments.seconds >= 0) || arguments.seconds > 600)
        refuse("--seconds is ", value, ", must be 0..600");
    }
  }
  return arguments;
}

Bench bench_of(Command& problem) {
#define TILEWISE_BENCH(operation) \
  if (problem.keyword() == #operation) return operation##_bench(problem);
#include "generated/benches.inc"
#undef TILEWISE_BENCH
  std::string names;
#define TILEWISE_BENCH(operation) names += std::string(names.empty() ? "" : ", ") + #operation;
#include "generated/benches.inc"
#undef TILEWISE_BENCH
  refuse("unknown operation ", problem.keyword().substr(0, kMaxShown), ", must be one of ", names);
}

// One kernel set at work, its results and times.
class Runner {
 public:
  Runner(const testing::Content& content, const KernelSet& set, int threads, const PortShape& shape)
      : set(set), engine_(content, {.threads = threads, .set = set.name, .batch = shape.images}) {
    const auto count = [](const PortShape& of, std::int64_t channels) {
      return static_cast<std::size_t>(of.images * channels * of.size.height * of.size.width);
    };
    shapes_.assign(engine_.program().inputs().size(), shape);
    for (std::size_t i = 0; i < shapes_.size(); ++i)
      values_.push_back(noise(count(shape, engine_.tensor(engine_.input(i)).channels)));
    const auto outputs = engine_.prepare(shapes_);
    for (std::size_t i = 0; i < outputs.size(); ++i)
      results.emplace_back(count(outputs[i], engine_.tensor(engine_.output(i)).channels));
    for (std::vector<float>& values : values_) inputs_.push_back(port(values));
    for (std::vector<float>& values : results) outputs_.push_back(port(values));
  }

  // Runs once, and keeps how long the operation called `name` took.
  void run(const std::string& name) {
    for (OperationProfile& profile : engine_.profile(shapes_, inputs_, outputs_, 1)) {
      if (profile.name != name) continue;
      seconds.push_back(profile.seconds);
      last = std::move(profile);
    }
  }

  const KernelSet& set;
  std::vector<std::vector<float>> results;
  std::vector<double> seconds;
  OperationProfile last;

 private:
  static Port port(std::vector<float>& values) { return {.data = reinterpret_cast<std::byte*>(values.data())}; }

  Engine engine_;
  std::vector<PortShape> shapes_;
  std::vector<std::vector<float>> values_;
  std::vector<Port> inputs_, outputs_;
};

// How far two results are from each other, relative to the largest value; infinite for what is no number, and where all
// is 0, which would prove nothing.
double distance(const Runner& a, const Runner& b) {
  double largest = 0, difference = 0;
  for (std::size_t i = 0; i < a.results.size(); ++i) {
    for (std::size_t j = 0; j < a.results[i].size(); ++j) {
      const auto x = static_cast<double>(a.results[i][j]), y = static_cast<double>(b.results[i][j]);
      if (!std::isfinite(x) || !std::isfinite(y)) return INFINITY;
      largest = std::max(largest, std::abs(x)), difference = std::max(difference, std::abs(x - y));
    }
  }
  return largest == 0 ? INFINITY : difference / largest;
}

double quantile(std::vector<double> values, double share) {
  std::sort(values.begin(), values.end());
  return values[static_cast<std::size_t>(share * static_cast<double>(values.size() - 1) + 0.5)];
}

// Prints a kernel set's line; returns whether it computes what the reference does.
bool report(const Runner& runner, const Runner& reference, double tolerance) {
  const double apart = distance(runner, reference), median = quantile(runner.seconds, 0.5);
  char text[32] = "equal to reference";
  if (apart > 0) std::snprintf(text, sizeof text, "apart by %.1e", apart);
  std::printf("%-12s %10.4f ms  %10.4f .. %.4f  %9.2f GOP/s %8.2f GB/s  %s\n", runner.set.name, median * 1e3,
              quantile(runner.seconds, 0.25) * 1e3, quantile(runner.seconds, 0.75) * 1e3,
              static_cast<double>(runner.last.operations) / median / 1e9,
              static_cast<double>(runner.last.bytes) / median / 1e9, text);
  return apart <= tolerance;
}

bool bench(const Arguments& arguments) {
  Command problem(arguments.problem);
  const Size size{problem.number_or(56, "height", 1, kMaxPixels), problem.number_or(56, "width", 1, kMaxPixels)};
  const PortShape shape{problem.number_or(1, "images", 1, kMaxImages), size};
  const auto threads = static_cast<int>(problem.number_or(1, "threads", 1, 256));
  const Bench made = bench_of(problem);
  problem.check_all_read();
  const testing::Content content = made.draft.file();

  Runner reference(content, kernel_set("reference"), threads, shape);
  reference.run(made.name);
  std::vector<std::unique_ptr<Runner>> runners;
  for (const KernelSet* const set : kernel_sets()) {
    const bool wanted = arguments.set.empty() || arguments.set == set->name;
    if (wanted && set->supported() && set != &reference.set)
      runners.push_back(std::make_unique<Runner>(content, *set, threads, shape));
  }
  if (runners.empty()) refuse("--set is ", arguments.set, ", which is no kernel set of this machine but the reference");
  const auto start = std::chrono::steady_clock::now();
  const double limit = arguments.seconds * static_cast<double>(runners.size());
  for (std::size_t round = 0; round < kMaxRounds; ++round) {
    const std::chrono::duration<double> passed = std::chrono::steady_clock::now() - start;
    if (round >= kLeastRounds && passed.count() > limit) break;
    for (const auto& runner : runners) runner->run(made.name);
  }
  std::printf("%s: medians and quartiles of %zu rounds in turns\n", arguments.problem.c_str(), runners[0]->seconds.size());
  bool right = true;
  for (const auto& runner : runners) right = report(*runner, reference, made.tolerance) && right;
  return right;
}

}  // namespace
}  // namespace tilewise::tools

int main(int argc, char** argv) {
  try {
    return tilewise::tools::bench(tilewise::tools::arguments_of(argc, argv)) ? 0 : 1;
  } catch (const std::exception& error) {
    std::cerr << "tilewise-bench: " << error.what() << "\n";
    return 2;
  }
}
