// Whole networks: every kernel set, number of threads, size and batch gives the same bits, whatever ran before, and
// however many engines and callers there are.
#include "engine/engine.h"

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <memory>
#include <random>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include "tests/check.h"
#include "tests/small_network.h"

namespace tilewise::testing {
namespace {

constexpr std::int64_t kImages = 7, kBatch = 3;  // two whole pieces and a part
constexpr Size kSize{13, 11};

// What goes into the small network, and what came out.
struct Images {
  std::int64_t count;
  Size size;
  std::vector<float> image, guide;

  Images(std::int64_t images, const Size& pixels, unsigned seed)
      : count(images), size(pixels), image(values(kImageChannels)), guide(values(kGuideChannels)) {
    std::mt19937 random(seed);
    for (float& value : image) value = 20 + 50 * std::normal_distribution<float>()(random);
    for (float& value : guide) value = std::normal_distribution<float>()(random);
  }

  std::size_t values(std::int64_t channels) const { return static_cast<std::size_t>(count * channels * size.height * size.width); }
  std::vector<PortShape> shapes() const { return {{count, size}, {count, size}}; }
};

struct Results {
  std::vector<float> logits;
  std::vector<std::uint8_t> map;

  bool operator==(const Results& other) const {
    return map == other.map && logits.size() == other.logits.size() &&
           std::memcmp(logits.data(), other.logits.data(), logits.size() * sizeof(float)) == 0;
  }
};

template <typename T>
Port port_of(const std::vector<T>& values, Dtype dtype) {
  return {.data = const_cast<std::byte*>(reinterpret_cast<const std::byte*>(values.data())), .dtype = dtype};
}

// Calls function(shapes, inputs, outputs), with poison in the outputs.
template <typename Function>
Results with_ports(const Images& images, const Function& function) {
  Results results{std::vector<float>(static_cast<std::size_t>(images.count * kLogits), std::nanf("")),
                  std::vector<std::uint8_t>(images.values(kMapChannels), 0xA5)};
  const Port inputs[] = {port_of(images.image, Dtype::kFloat32), port_of(images.guide, Dtype::kFloat32)};
  const Port outputs[] = {port_of(results.logits, Dtype::kFloat32), port_of(results.map, Dtype::kUint8)};
  function(images.shapes(), inputs, outputs);
  return results;
}

Results run(Engine& engine, const Images& images) {
  return with_ports(images, [&](const auto& shapes, const auto& inputs, const auto& outputs) { engine.run(shapes, inputs, outputs); });
}

// An engine, whose file is gone once it stands.
struct Made {
  Engine engine;
  Made(const Draft& draft, const Engine::Options& options) : engine(draft.file(), options) {}
};

Engine::Options options(int threads, const std::string& set, std::int64_t batch = kBatch) {
  return {.threads = threads, .set = set, .batch = batch};
}

std::vector<std::string> sets() {
  std::vector<std::string> names;
  for (const KernelSet* const set : kernel_sets()) {
    if (set->supported()) names.emplace_back(set->name);
  }
  return names;
}

void test_sets_and_threads() {
  const Draft network = small_network(true);
  const Images images(kImages, kSize, 1), other(kImages, kSize, 2);
  Made reference(network, options(1, "reference"));
  const Results expected = run(reference.engine, images), expected_other = run(reference.engine, other);
  CHECK(!(expected == expected_other), "two inputs");
  CHECK(!std::ranges::any_of(expected.logits, [](float v) { return std::isnan(v); }), "all logits are written");
  CHECK(std::ranges::max(expected.map) > std::ranges::min(expected.map) + 20, "the map is no constant");
  for (const std::string& set : sets()) {
    for (const int threads : {1, 2, 3, 5}) {
      const std::string text = set + " on " + std::to_string(threads) + " threads";
      Made made(network, options(threads, set));
      CHECK(made.engine.threads() == threads && made.engine.set().name == set, text);
      for (int repeat = 0; repeat < 2; ++repeat) {
        CHECK(run(made.engine, images) == expected, text);
        CHECK(run(made.engine, other) == expected_other, text);  // leaves other numbers in memory
      }
    }
  }
}

// An image's result does not depend on its neighbours or on the batch.
void test_batches() {
  const Images images(kImages, kSize, 3);
  Made alone(small_network(true), options(1, "", 1));
  const Results expected = run(alone.engine, images);
  for (const std::int64_t batch : {2, 7, 64}) {
    Made made(small_network(true), options(2, "", batch));
    CHECK(run(made.engine, images) == expected, "batch " + std::to_string(batch));
  }
}

// Calls of changing numbers of images: fewer run in what is prepared, more are prepared anew.
void test_changing_numbers() {
  Made made(small_network(true), options(1, "", 4));
  for (const std::int64_t images : {1, 5, 2, 4, 9, 1, 3}) {
    Made fresh(small_network(true), options(1, "", 4));
    const Images some(images, kSize, static_cast<unsigned>(images));
    CHECK(run(made.engine, some) == run(fresh.engine, some), std::to_string(images) + " images");
  }
}

// One engine for many sizes gives what an engine gives that has seen only one; more than stay prepared, some again.
void test_sizes() {
  const Size sizes[] = {{13, 11}, {1, 1}, {40, 33}, {2, 17}, {13, 11}, {64, 9}, {40, 33}, {5, 5}, {13, 11}, {1, 1}};
  for (const char* const set : {"", "portable"}) {
    Made made(small_network(true), options(2, set));
    std::size_t arena = 0;
    for (const Size& size : sizes) {
      Made fresh(small_network(true), options(1, set));
      const Images images(4, size, 5);
      const std::string text = std::to_string(size.height) + "x" + std::to_string(size.width) + " " + set;
      CHECK(run(made.engine, images) == run(fresh.engine, images), text);
      CHECK(made.engine.arena_bytes() >= fresh.engine.arena_bytes() && made.engine.arena_bytes() >= arena, text);
      arena = made.engine.arena_bytes();
    }
  }
}

// A size that the network does not allow changes nothing.
void test_goes_on() {
  Made made(small_network(true), options(1, ""));
  const Images images(2, kSize, 6);
  const Results expected = run(made.engine, images);
  for (const std::vector<PortShape>& shapes :
       {std::vector<PortShape>{{1, {4, 4}}, {1, {4, 5}}}, {{1, {4, 4}}, {2, {4, 4}}}, {{1, {0, 0}}, {1, {0, 0}}}, {{1, {65536, 65536}}, {1, {65536, 65536}}}}) {
    CHECK(throws<std::invalid_argument>([&] { made.engine.prepare(shapes); }, ""), "refused");
    CHECK(run(made.engine, images) == expected, "goes on");
  }
}

void test_prepare() {
  Made made(small_network(true), options(1, ""));
  const std::vector<PortShape> shapes = made.engine.prepare(std::vector<PortShape>{{5, kSize}, {5, kSize}});
  CHECK(shapes.size() == 2 && shapes[0].images == 5 && shapes[1].images == 5, "images");
  CHECK((shapes[0].size == Size{1, 1} && shapes[1].size == kSize), "sizes");
}

// Float convolutions may fuse, so sets are near each other, and each is equal to itself.
void test_float() {
  const Images images(kImages, kSize, 4);
  Made reference(small_network(false), options(1, "reference"));
  const Results expected = run(reference.engine, images);
  for (const std::string& set : sets()) {
    Made one(small_network(false), options(1, set)), many(small_network(false), options(5, set));
    const Results found = run(one.engine, images);
    CHECK(found == run(many.engine, images) && found == run(one.engine, images), set);
    for (std::size_t i = 0; i < found.logits.size(); ++i)
      CHECK(std::abs(found.logits[i] - expected.logits[i]) < 0.05f, set);
  }
}

void test_many_callers() {
  const Draft network = small_network(true);
  Made first(network, options(3, "")), second(network, options(2, "portable"));
  std::vector<Images> inputs;
  std::vector<Results> expected;
  for (unsigned i = 0; i < 4; ++i) {
    inputs.emplace_back(kImages, Size{13 + static_cast<std::int64_t>(i % 2), 11}, 10 + i);
    expected.push_back(run(first.engine, inputs.back()));
  }
  std::vector<std::thread> callers;
  for (std::size_t i = 0; i < inputs.size(); ++i) {
    callers.emplace_back([&, i] {
      for (int repeat = 0; repeat < 5; ++repeat)
        CHECK(run((repeat % 2 ? first : second).engine, inputs[i]) == expected[i], "caller " + std::to_string(i));
    });
  }
  for (std::thread& caller : callers) caller.join();
}

// Engines that share weights run at once, each in sizes of its own, and go in any order.
void test_shared_weights() {
  for (const bool integers : {true, false}) {
    auto first = std::make_unique<Made>(small_network(integers), options(2, ""));
    std::vector<Images> inputs;
    std::vector<Results> expected;
    std::vector<std::unique_ptr<Engine>> engines;
    for (unsigned i = 0; i < 4; ++i) {
      inputs.emplace_back(kImages, Size{9 + static_cast<std::int64_t>(i), 11}, 20 + i);
      expected.push_back(run(first->engine, inputs.back()));
      engines.push_back(std::make_unique<Engine>(first->engine, static_cast<int>(i % 2) + 1));
      CHECK(engines.back()->threads() == static_cast<int>(i % 2) + 1 && engines.back()->arena_bytes() == 0, "its own");
      CHECK(&engines.back()->program() == &first->engine.program(), "one program");
    }
    first.reset();
    std::vector<std::thread> callers;
    for (std::size_t i = 0; i < inputs.size(); ++i) {
      callers.emplace_back([&, i] {
        for (std::size_t repeat = 0; repeat < 8; ++repeat) {
          const std::size_t image = (i + repeat) % inputs.size();
          CHECK(run(*engines[i], inputs[image]) == expected[image], "engine " + std::to_string(i));
        }
        engines[i].reset();
      });
    }
    for (std::thread& caller : callers) caller.join();
  }
}

void test_profile() {
  Made made(small_network(false), options(2, ""));
  const Images images(kImages, kSize, 5);
  std::vector<OperationProfile> profile;
  const Results found = with_ports(images, [&](const auto& shapes, const auto& inputs, const auto& outputs) {
    profile = made.engine.profile(shapes, inputs, outputs, 3);
  });
  CHECK(found == run(made.engine, images), "profile");
  const auto operations = made.engine.program().operations();
  CHECK(profile.size() == operations.size(), "profile");
  for (std::size_t i = 0; i < profile.size(); ++i) {
    const OperationProfile& p = profile[i];
    const bool lossless = p.kind == "wrapping" || p.kind == "residue", fast = p.kind == "fast" || lossless;
    CHECK(p.name == operations[i]->name && p.kind == operations[i]->kind && p.seconds > 0, p.name);
    CHECK(p.kernel.starts_with(p.kind == "adaptive_pool" ? "pool" : p.kind), p.kernel);
    CHECK(p.algorithm.empty() != fast, p.name);
    // The input transform's is a difference of two times, and may come out as nothing.
    CHECK((p.stages.multiply > 0 && p.stages.output_transform > 0) == fast, p.name);
    CHECK((p.operations > 0) == (fast || p.kind == "direct") && p.bytes > 0, p.name);
  }
  const OperationProfile& stem = profile[2];
  CHECK(stem.operations == 2 * kImages * 13 * 11 * 20 * 27, "two for each multiply-add");
  CHECK(stem.bytes == kImages * 13 * 11 * (3 + 20) + 20 * 27 + 20 * 4 + 20 * 4, "read, written, and of arrays");
}

void test_refusals() {
  const Content file = small_network(true).file();
  using Bad = std::invalid_argument;
  CHECK(throws<Bad>([&] { Engine(file, options(0, "")); }, "threads is 0, must be 1..256"), "threads");
  CHECK(throws<Bad>([&] { Engine(file, options(1, "", 0)); }, "batch is 0, must be 1..65536"), "batch");
  CHECK(throws<Bad>([&] { Engine(file, options(1, "z80")); }, "unknown kernel set z80; allowed: "), "set");
  for (const KernelSet* const set : kernel_sets()) {
    if (set->supported()) continue;
    CHECK(throws<Bad>([&] { Engine(file, options(1, set->name)); },
                      std::string("lacks the instructions of the kernel set ") + set->name + "; allowed: "),
          set->name);
  }
  Made made(small_network(true), options(1, ""));
  const Images images(2, kSize, 6);
  const auto bad = [&](const std::string& part, const auto& change) {
    const auto call = [&](auto shapes, const auto& in, const auto& out) {
      std::vector<Port> inputs(std::begin(in), std::end(in)), outputs(std::begin(out), std::end(out));
      change(shapes, inputs, outputs);
      CHECK(throws<Bad>([&] { made.engine.run(shapes, inputs, outputs); }, part), part);
      CHECK(throws<Bad>([&] { made.engine.profile(shapes, inputs, outputs, 1); }, part), part);
    };
    with_ports(images, call);
  };
  bad("there are 1 arrays, must be 2 as shapes", [](auto&, auto& inputs, auto&) { inputs.pop_back(); });
  bad("there are 1 inputs, must be 2", [](auto& shapes, auto& inputs, auto&) { shapes.pop_back(), inputs.pop_back(); });
  bad("there are 3 outputs, must be 2", [](auto&, auto&, auto& outputs) { outputs.push_back(outputs[0]); });
  bad("image: is int16, must be float32 or uint8", [](auto&, auto& inputs, auto&) { inputs[0].dtype = Dtype::kInt16; });
  bad("logits: is asked for as uint8, must be float32", [](auto&, auto&, auto& outputs) { outputs[0].dtype = Dtype::kUint8; });
  bad("map: is asked for as int16, must be float32 or uint8", [](auto&, auto&, auto& outputs) { outputs[1].dtype = Dtype::kInt16; });
  bad("logits: is no map, must be asked for with the channels first",
      [](auto&, auto&, auto& outputs) { outputs[0].channels_last = true; });
  bad("image and map share memory, must be apart", [](auto&, auto& inputs, auto& outputs) { outputs[1].data = inputs[0].data + 100; });
  bad("guide and logits share memory, must be apart", [](auto&, auto& inputs, auto& outputs) { inputs[1].data = outputs[0].data; });
  bad("the number of images is 0, must be at least 1", [](auto& shapes, auto&, auto&) { shapes[0].images = shapes[1].images = 0; });
  for (const std::int64_t repeats : {std::int64_t{0}, Engine::kMaxRepeats + 1}) {
    with_ports(images, [&](const auto& shapes, const auto& inputs, const auto& outputs) {
      CHECK(throws<Bad>([&] { made.engine.profile(shapes, inputs, outputs, repeats); },
                        "repeats is " + std::to_string(repeats) + ", must be 1..10000"),
            "repeats");
    });
  }
}

}  // namespace
}  // namespace tilewise::testing

int main() {
  using namespace tilewise::testing;
  test_sets_and_threads();
  test_batches();
  test_changing_numbers();
  test_sizes();
  test_goes_on();
  test_prepare();
  test_float();
  test_many_callers();
  test_shared_weights();
  test_profile();
  test_refusals();
}
