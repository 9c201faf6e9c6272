// Whole networks: every kernel set and number of threads gives the reference's bits, whatever ran before, and
// however many engines and callers there are.
#include "engine/engine.h"

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <iostream>
#include <random>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include "tests/check.h"
#include "tests/network.h"

namespace tilewise::testing {
namespace {

constexpr std::int64_t kBatch = 3, kImages = 7;  // two whole pieces and a part
constexpr std::int64_t kInput = 3 * 13 * 11, kOutput = 10;

std::vector<float> images(std::int64_t count, unsigned seed) {
  std::mt19937 random(seed);
  std::vector<float> x(static_cast<std::size_t>(count * kInput));
  for (float& value : x) value = std::normal_distribution<float>()(random);
  return x;
}

std::vector<float> run(Engine& engine, const std::vector<float>& x) {
  const auto count = static_cast<std::int64_t>(x.size()) / kInput;
  std::vector<float> y(static_cast<std::size_t>(count * kOutput), std::nanf(""));
  engine.run(x.data(), count, y.data());
  return y;
}

bool same_bits(const std::vector<float>& a, const std::vector<float>& b) {
  return a.size() == b.size() && std::memcmp(a.data(), b.data(), a.size() * sizeof(float)) == 0;
}

std::vector<std::string> sets() {
  std::vector<std::string> names;
  for (const KernelSet* const set : kernel_sets()) {
    if (set->supported()) names.emplace_back(set->name);
  }
  return names;
}

void test_sets_and_threads() {
  const std::vector<float> x = images(kImages, 1), other = images(kImages, 2);
  Engine reference(build(small_network(kBatch, true)), 1, "reference");
  const std::vector<float> expected = run(reference, x), expected_other = run(reference, other);
  CHECK(!same_bits(expected, expected_other), "two inputs");
  for (const std::string& set : sets()) {
    for (const int threads : {1, 2, 3, 5}) {
      const std::string text = set + " on " + std::to_string(threads) + " threads";
      Engine engine(build(small_network(kBatch, true)), threads,
                    set);  // the plan is gone once the engine stands
      CHECK(engine.threads() == threads && engine.set().name == set, text);
      for (int repeat = 0; repeat < 3; ++repeat) {
        CHECK(same_bits(run(engine, x), expected), text);
        CHECK(same_bits(run(engine, other), expected_other), text);  // leaves other numbers in the arena
      }
    }
  }
}

// An image's result does not depend on its neighbours or on the batch.
void test_batches() {
  const std::vector<float> x = images(kImages, 3);
  Engine alone(build(small_network(1, true)), 1, "");
  for (const std::int64_t batch : {2, 7, 64}) {
    Engine engine(build(small_network(batch, true)), 2, "");
    CHECK(same_bits(run(engine, x), run(alone, x)), "batch " + std::to_string(batch));
  }
}

// Float convolutions may fuse, so sets are near each other, and each is equal to itself.
void test_float() {
  const std::vector<float> x = images(kImages, 4);
  Engine reference(build(small_network(kBatch, false)), 1, "reference");
  const std::vector<float> expected = run(reference, x);
  for (const std::string& set : sets()) {
    Engine one(build(small_network(kBatch, false)), 1, set),
        many(build(small_network(kBatch, false)), 5, set);
    const std::vector<float> y = run(one, x);
    CHECK(same_bits(y, run(many, x)) && same_bits(y, run(one, x)), set);
    for (std::size_t i = 0; i < y.size(); ++i) CHECK(std::abs(y[i] - expected[i]) < 0.05f, set);
  }
}

void test_many_callers() {
  const Plan plan = build(small_network(kBatch, true));
  Engine first(plan, 3, ""), second(plan, 2, "portable");
  std::vector<std::vector<float>> inputs, expected;
  for (unsigned i = 0; i < 4; ++i) {
    inputs.push_back(images(kImages, 10 + i));
    expected.push_back(run(first, inputs.back()));
  }
  std::vector<std::thread> callers;
  for (std::size_t i = 0; i < inputs.size(); ++i) {
    callers.emplace_back([&, i] {
      for (int repeat = 0; repeat < 5; ++repeat) {
        CHECK(same_bits(run(repeat % 2 ? first : second, inputs[i]), expected[i]),
              "caller " + std::to_string(i));
      }
    });
  }
  for (std::thread& caller : callers) caller.join();
}

void test_profile() {
  const Network network = small_network(kBatch, false);
  Engine engine(build(network), 2, "");
  const std::vector<float> x = images(kImages, 5);
  std::vector<float> y(static_cast<std::size_t>(kImages * kOutput));
  const std::vector<OpProfile> ops = engine.profile(x.data(), kImages, y.data(), 3);
  CHECK(same_bits(y, run(engine, x)), "profile");
  CHECK(ops.size() == network.calls.size(), "profile");
  for (std::size_t i = 0; i < ops.size(); ++i) {
    const Kind kind = network.calls[i].kind;
    const bool fast = kind == Kind::kFast || kind == Kind::kExact || kind == Kind::kResidue;
    CHECK(ops[i].name == network.calls[i].name && ops[i].seconds > 0, ops[i].name);
    CHECK(ops[i].algorithm == (fast ? "test" : ""), ops[i].name);
    CHECK(fast || ops[i].stages.multiply == 0, ops[i].name);
  }
}

void test_refusals() {
  const Plan plan = build(small_network(kBatch, true));
  using Bad = std::invalid_argument;
  CHECK(throws<Bad>([&] { Engine(plan, 0, ""); }, "threads is 0, must be 1..256"), "threads");
  CHECK(throws<Bad>([&] { Engine(plan, 1, "z80"); }, "unknown kernel set z80; allowed: "), "set");
  for (const KernelSet* const set : kernel_sets()) {
    if (set->supported()) continue;
    CHECK(throws<Bad>([&] { Engine(plan, 1, set->name); },
                      std::string("lacks the instructions of the kernel set ") + set->name + "; allowed: "),
          set->name);
  }
  CHECK(throws<Bad>([&] { Engine(Plan(1, 64), 1, ""); }, "the plan has no export_nchw"), "unfinished");

  Engine engine(plan, 1, "");
  std::vector<float> x = images(2, 6), y(2 * kOutput);
  CHECK(throws<Bad>([&] { engine.run(x.data(), 0, y.data()); }, "images is 0"), "no images");
  CHECK(throws<Bad>([&] { engine.run(x.data(), 2, x.data() + kInput); }, "share memory"), "overlap");
  CHECK(throws<Bad>([&] { engine.profile(x.data(), 2, y.data(), 0); }, "repeats is 0"), "repeats");
}

}  // namespace
}  // namespace tilewise::testing

int main() {
  using namespace tilewise::testing;
  test_sets_and_threads();
  test_batches();
  test_float();
  test_many_callers();
  test_profile();
  test_refusals();
  std::cout << "engine: passed\n";
}
