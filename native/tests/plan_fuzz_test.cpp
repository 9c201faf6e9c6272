// Plans broken at random: whatever the builder accepts runs, whatever it refuses it refuses with an exception
// of its own. Meant for the sanitizers.
//
//   plan_fuzz_test [iterations] [seed]
#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <exception>
#include <iostream>
#include <iterator>
#include <limits>
#include <new>
#include <random>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "engine/engine.h"
#include "tests/network.h"

namespace tilewise::testing {
namespace {

constexpr std::int64_t kMaxRunBytes = 1 << 22;  // a plan with a larger arena is built but not run
constexpr std::size_t kMaxValues = 1 << 16;     // of an array that the fuzzer resizes

class Fuzzer {
 public:
  explicit Fuzzer(unsigned seed) : random_(seed) {}

  std::int64_t below(std::int64_t limit) {
    return std::uniform_int_distribution<std::int64_t>(0, limit - 1)(random_);
  }

  // The last one, the reference, is slow and plain.
  const KernelSet& kernel_set() {
    for (;;) {
      const auto sets = kernel_sets();
      const KernelSet& set = *sets[index(sets)];
      if (set.supported() && (&set != sets.back() || below(16) == 0)) return set;
    }
  }

  Network mutated(const Network& valid) {
    Network network = valid;
    for (std::int64_t count = 1 + below(3); count > 0; --count) mutate(network);
    return network;
  }

 private:
  template <typename Values>
  std::size_t index(const Values& values) {
    return static_cast<std::size_t>(below(std::ssize(values)));
  }

  void mutate(Network& network) {
    switch (below(10)) {
      case 0: return change(below(2) ? network.batch : network.arena_bytes);
      case 1: return change_order(network.calls);
      case 2:
      case 3: return change_tensor(network.tensors[index(network.tensors)]);
      default: return change_call(network.calls[index(network.calls)]);
    }
  }

  // A number near the old one, small, or at an edge.
  template <typename Integer>
  void change(Integer& value) {
    constexpr std::int64_t kEdges[] = {-1,
                                       0,
                                       1,
                                       2,
                                       15,
                                       16,
                                       63,
                                       64,
                                       127,
                                       128,
                                       255,
                                       256,
                                       4096,
                                       32767,
                                       65535,
                                       65536,
                                       2147483647,
                                       std::int64_t{1} << 31,
                                       std::int64_t{1} << 40,
                                       std::numeric_limits<std::int64_t>::max(),
                                       std::numeric_limits<std::int64_t>::min()};
    const auto old = static_cast<std::uint64_t>(value);  // wraps
    std::uint64_t changed = 0;
    switch (below(5)) {
      case 0: changed = old + 1; break;
      case 1: changed = old - 1; break;
      case 2: changed = below(2) ? old * 2 : old / 2; break;
      case 3: changed = static_cast<std::uint64_t>(below(40)); break;
      default: changed = static_cast<std::uint64_t>(kEdges[below(std::ssize(kEdges))]);
    }
    value = static_cast<Integer>(changed);
  }

  void change(float& value) {
    constexpr float kInfinity = std::numeric_limits<float>::infinity();
    constexpr float kEdges[] = {0,         -1,         1,      0.5f,
                                2900,      1e-45f,     1e30f,  3e38f,
                                kInfinity, -kInfinity, -3e38f, std::numeric_limits<float>::quiet_NaN()};
    value = below(3) ? kEdges[below(std::ssize(kEdges))] : value * 1.5f;
  }

  // One value, or the length.
  template <typename T>
  void change(std::vector<T>& values) {
    if (!values.empty() && below(4) != 0) return change(values[index(values)]);
    auto length = static_cast<std::int64_t>(values.size());
    change(length);
    resize(values, static_cast<std::size_t>(std::clamp<std::int64_t>(length, 0, kMaxValues)));
  }

  // Goes on with the values that are there.
  template <typename T>
  void resize(std::vector<T>& values, std::size_t length) {
    const std::size_t old = values.size();
    values.resize(length);
    for (std::size_t i = old; i < length && old > 0; ++i) values[i] = values[i % old];
  }

  void change_order(std::vector<OpCall>& calls) {
    const auto at = static_cast<std::ptrdiff_t>(index(calls));
    switch (below(3)) {
      case 0: calls.erase(calls.begin() + at); break;
      case 1: calls.insert(calls.begin() + at, OpCall(calls[index(calls)])); break;
      default: std::swap(calls[static_cast<std::size_t>(at)], calls[index(calls)]);
    }
    if (calls.empty()) calls.emplace_back();
  }

  void change_tensor(TensorSpec& tensor) {
    switch (below(10)) {
      case 0: return change(tensor.height);
      case 1: return change(tensor.width);
      case 2: return change(tensor.channels);
      case 3: return change(tensor.stride);
      case 4: tensor.offset = below(64) * 64; return;
      case 5: return change(tensor.offset);
      case 6: tensor.dtype = static_cast<Dtype>(below(4)); return;
      case 7: return change(below(2) ? tensor.grid.step : tensor.grid.factor);
      case 8: return change(tensor.grid.low);
      default: return change(tensor.grid.high);
    }
  }

  void change_call(OpCall& call) {
    std::int64_t* const numbers[] = {
        &call.x, &call.y, &call.residual, &call.stride,  &call.pad_top, &call.pad_left,     &call.dilation,
        &call.m, &call.n, &call.columns,  &call.v_limit, &call.number,  &call.fraction_bits};
    std::vector<float>* const floats[] = {&call.weight_f32, &call.scale,       &call.bias,       &call.bt,
                                          &call.at,         &call.row_weights, &call.col_weights};
    switch (below(10)) {
      case 0: return change(below(2) ? call.low : call.high);
      case 1: return change(below(2) ? call.rows : call.cols);
      case 2: return change(below(2) ? call.mult : call.integers);
      case 3: return change(call.weight_int8);
      case 4: return change(*floats[below(std::ssize(floats))]);
      case 5: return change_shape(call);
      case 6: call.flag ^= true; return;
      case 7: call.input = static_cast<Dtype>(below(4)); return;
      case 8: return below(2) ? change(call.weight_int16) : change(call.weight_bf16);
      default: return change(*numbers[below(std::ssize(numbers))]);
    }
  }

  // A view never has more elements than there are, as NumPy guarantees; so the weights follow their shape.
  void change_shape(OpCall& call) {
    if (call.shape.empty()) return;
    change(call.shape[index(call.shape)]);
  }

  std::mt19937 random_;
};

// What NumPy guarantees of the arrays that it hands over: no negative extents, and as much memory as the
// shape says.
void make_consistent(OpCall& call) {
  std::int64_t count = 1;
  for (std::int64_t& extent : call.shape) {
    extent = std::clamp<std::int64_t>(
        extent, 0, static_cast<std::int64_t>(kMaxValues) / std::max<std::int64_t>(1, count));
    count *= extent;
  }
  call.weight_int8.resize(static_cast<std::size_t>(count), 1);
  call.weight_int16.resize(static_cast<std::size_t>(count), 1);
  call.weight_bf16.resize(static_cast<std::size_t>(count), 1);
  call.weight_f32.resize(static_cast<std::size_t>(count), 1);
  const auto rows = [](std::int64_t wanted, std::size_t size) {
    return std::clamp<std::int64_t>(wanted, 0, static_cast<std::int64_t>(size));
  };
  if (call.kind == Kind::kFast) {
    call.n = rows(call.n, call.bt.size());
    call.m = rows(call.m, call.at.size());
  }
  if (call.kind == Kind::kExact) {
    call.n = rows(call.n, 64);
    call.m = rows(call.m, 64);
    const std::int64_t r = call.shape[1], t = exact_inputs(call);
    call.integers.resize(static_cast<std::size_t>(call.m * call.n + call.n * r + call.n * t), 1);
  }
  call.columns = std::clamp<std::int64_t>(call.columns, 1, 1 << 20);
  call.fraction_bits = std::clamp<std::int64_t>(call.fraction_bits, -2147483648, 2147483647);
}

enum class Outcome { kRefused, kBuilt, kRun };

Outcome attempt(const Network& network, const KernelSet& set, int threads) {
  try {
    const Plan plan = build(network);
    plan.check_finished();
    if (plan.used_bytes() > kMaxRunBytes) return Outcome::kBuilt;
    Engine engine(plan, threads, set.name);
    const std::int64_t images = plan.batch() + 1;  // a whole piece and a part
    const auto values = [&](const TensorSpec& t) {
      return static_cast<std::size_t>(images * t.height * t.width * t.channels);
    };
    const std::vector<float> x(values(plan.input()), 0.3f);
    std::vector<float> y(values(plan.output()));
    engine.run(x.data(), images, y.data());
    return Outcome::kRun;
  } catch (const std::invalid_argument&) {
    return Outcome::kRefused;
  } catch (const std::bad_alloc&) {
    return Outcome::kRefused;
  }
}

void fuzz(std::int64_t iterations, unsigned seed) {
  Fuzzer fuzzer(seed);
  const Network valid[] = {small_network(1, false), small_network(2, true)};
  std::int64_t counts[3] = {};
  for (std::int64_t i = 0; i < iterations; ++i) {
    Network network = fuzzer.mutated(valid[i % 2]);
    for (OpCall& call : network.calls) {
      if (!call.shape.empty()) make_consistent(call);
    }
    try {
      ++counts[static_cast<int>(attempt(network, fuzzer.kernel_set(), fuzzer.below(16) ? 1 : 2))];
    } catch (const std::exception& error) {
      std::cerr << "iteration " << i << " of seed " << seed << ": " << error.what() << '\n';
      std::exit(1);
    }
  }
  std::cout << counts[0] << " refused, " << counts[1] << " too large to run, " << counts[2] << " run\n";
}

}  // namespace
}  // namespace tilewise::testing

int main(int argc, char** argv) {
  const std::int64_t iterations = argc > 1 ? std::atoll(argv[1]) : 8000;
  const auto seed = argc > 2 ? static_cast<unsigned>(std::atoll(argv[2])) : 1u;
  std::cout << "plan_fuzz: " << iterations << " iterations, seed " << seed << '\n' << std::flush;
  tilewise::testing::fuzz(iterations, seed);
  std::cout << "plan_fuzz: passed\n";
}
