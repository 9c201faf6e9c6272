// Plans as text: what is read is what was written, and broken streams are refused with a text of their own or
// give plans that run. Meant for the sanitizers.
//
//   plan_reader_test [iterations] [seed]
#include "tools/plan_reader.h"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <iostream>
#include <new>
#include <random>
#include <sstream>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "engine/engine.h"
#include "tests/check.h"
#include "tests/network.h"
#include "tests/network_text.h"
#include "tools/stream.h"

namespace tilewise::testing {
namespace {

constexpr std::int64_t kMaxRunBytes = 1 << 22;  // a plan with a larger arena is read but not run

Plan read(const std::string& text) {
  std::istringstream input(text);
  tools::Stream stream(input);
  std::optional<tools::Fields> first = stream.line();
  if (!first) throw std::invalid_argument("empty");
  return tools::read_plan(*std::move(first), stream);
}

std::vector<float> run(const Plan& plan, const char* set) {
  Engine engine(plan, 1, set);
  const auto values = [&](const TensorSpec& t) { return plan.batch() * t.height * t.width * t.channels; };
  const std::vector<float> x = tools::random_floats(values(plan.input()), 1);
  std::vector<float> y(static_cast<std::size_t>(values(plan.output())), -1);
  engine.run(x.data(), plan.batch(), y.data());
  return y;
}

void test_what_is_read_is_what_was_written() {
  for (const bool exact : {false, true}) {
    const Network network = small_network(2, exact);
    const std::vector<float> expected = run(build(network), "reference");
    CHECK(run(read(text(network)), "reference") == expected, exact ? "exact" : "not exact");
    CHECK(std::any_of(expected.begin(), expected.end(), [&](float v) { return v != expected[0]; }), "output");
  }
}

std::string replaced(std::string text, const std::string& old, const std::string& now) {
  const std::size_t at = text.find(old);
  CHECK(at != std::string::npos, old);
  return text.replace(at, old.size(), now);
}

// One layer, with `weight` as the line of its weights.
std::string layer(const std::string& weight) {
  return "plan batch=1 arena_bytes=8192\n"
         "tensor height=4 width=4 channels=16 stride=16 offset=0 dtype=float32 step=1 factor=1 low=0 "
         "high=255\n"
         "tensor height=4 width=4 channels=16 stride=16 offset=1024 dtype=float32 step=1 factor=1 low=0 "
         "high=255\n"
         "import_nchw name=input y=0\n"
         "direct name=conv x=0 y=1 residual=none act_low=-inf act_high=inf stride=1,1 padding=0,0 "
         "dilation=1,1 "
         "unfused=0\n" +
         weight +
         "\n"
         "array of=bias dtype=float32 shape=16 random=0\n"
         "export_nchw name=output x=1\n"
         "end\n";
}

const char* const kRandomWeight = "array of=weight dtype=float32 shape=16,1,1,16 random=0.5";

void test_random_weights() {
  const Plan plan = read(layer(kRandomWeight));
  const std::vector<float>& weights = plan.steps()[1].weight_f32;
  CHECK(weights.size() == 256, "number");
  CHECK(std::all_of(weights.begin(), weights.end(), [](float v) { return std::abs(v) <= 0.5f; }), "limit");
  CHECK(*std::max_element(weights.begin(), weights.end()) > 0.4f, "spread");
  CHECK(*std::min_element(weights.begin(), weights.end()) < -0.4f, "spread");
  CHECK(std::all_of(weights.begin(), weights.end(), [](float v) { return v == 0 || std::abs(v) > 1e-3f; }),
        "small");
  std::istringstream bytes("array of=u dtype=int8 shape=1000 random=3\n");
  tools::Stream stream(bytes);
  tools::Fields fields = *stream.line();
  fields.text("of");
  const tools::Array array = stream.array(fields);
  int counts[7] = {};
  for (const std::byte b : array.values) ++counts[static_cast<std::int8_t>(b) + 3];
  CHECK(*std::min_element(counts, counts + 7) > 100, "each of -3..3");
}

void test_refusals() {
  const auto refused = [](const std::string& text, const std::string& part) {
    CHECK(throws<std::invalid_argument>([&] { read(text); }, part), part);
  };
  const auto broken = [&](const char* old, const char* now, const char* part) {
    refused(replaced(layer(kRandomWeight), old, now), part);
  };
  broken("batch=1", "batch=one", "batch is 'one', must be an integer");
  broken("batch=1", "batch=1 batch=2", "the field batch is given twice");
  broken("batch=1", "batch=0", "batch is 0, must be 1..");
  broken("batch=1", "batch=99999999999999999999", "must be an integer");
  broken(" batch=1", "", "plan lacks the field batch");
  broken("batch=1", "batch=1 colour=blue", "plan has the unknown field colour");
  broken("batch=1", "batch", "'batch' is no field");
  broken("height=4", "height=4x", "height is '4x'");
  broken("dtype=float32", "dtype=float64", "dtype is float64");
  broken("low=0", "low=4294967296", "low is 4294967296, must fit int32");
  broken("direct", "conv", "unknown operation conv");
  broken("unfused=0", "unfused=yes", "unfused is 'yes', must be 0 or 1");
  broken("stride=1,1", "stride=1", "stride has 1 numbers, must have 2");
  broken("stride=1,1", "stride=1,", "stride is '', must be integers");
  broken("residual=none", "residual=x", "residual is 'x', must be an integer, or none");
  broken("act_low=-inf", "act_low=nan", "the activation is limited");
  broken("end\n", "", "the stream ends within a plan");
  broken("export_nchw name=output x=1\n", "", "the plan has no export_nchw at its end");
  broken("of=weight", "of=weights", "the array weight is missing");
  broken("of=bias", "of=weight", "the array weight is given twice");
  broken("shape=16,1,1,16", "shape=16,16", "weight is float32 of 2 axes, must be float32 of 4");
  broken("shape=16,1,1,16", "shape=16,1,1,-16", "an extent of the array is -16");
  broken("shape=16,1,1,16", "shape=65536,65536,65536,65536", "more than 2^59");
  broken("shape=16,1,1,16", "shape=65536,65536", "values, must have at most");
  broken("shape=16,1,1,16", "shape=16,1,1,8", "the number of input channels of weight is 8, must be 16");
  broken("random=0.5", "random=inf", "random is inf");
  broken("random=0.5", "random=-1", "random is -1");
  broken("random=0.5", "", "array");  // the next line is taken for values
  broken("dtype=float32 shape=16,1,1,16", "dtype=int32 shape=16,1,1,16",
         "an array of int32 cannot be random");
  broken("dtype=float32 shape=16,1,1,16 random=0.5", "dtype=int8 shape=16,1,1,16 random=128",
         "must be 0..127");
  broken("x=1", "x=7", "the number of tensor x is 7");
  broken("export_nchw name=output", "array of=extra dtype=float32 shape=1 random=0\nexport_nchw name=output",
         "conv: there is no place for the array extra");
  refused(std::string(5000, 'x'), "a line is longer than");
  refused("plan batch=1", "the stream ends within a line");
  refused(replaced(layer(kRandomWeight), "shape=16 random=0\n", "shape=16\n" + std::string(64, '\0') + "x\n"),
          "an array does not end where its shape says");
}

// Bytes, words, numbers and whole lines changed.
class Mutator {
 public:
  explicit Mutator(unsigned seed) : random_(seed) {}

  std::string mutated(std::string text) {
    for (std::size_t count = below(3) ? 1 : 3; count > 0; --count) mutate(text);
    return text;
  }

 private:
  std::size_t below(std::size_t limit) { return random_() % limit; }

  // Text, mostly: values are behind the first lines.
  std::size_t place(const std::string& text) {
    return below(below(2) ? std::min<std::size_t>(text.size(), 2500) : text.size());
  }

  void mutate(std::string& text) {
    if (text.empty()) return;
    const std::size_t at = place(text);
    const std::size_t line = text.rfind('\n', at) + 1,
                      next = std::min(text.find('\n', at), text.size() - 1) + 1;
    switch (below(6)) {
      case 0:
        text[at] = static_cast<char>(below(256));
        return;
      case 1:
        text.erase(at, 1 + below(8));
        return;
      case 2:
        text.insert(at, 1, "0123456789=, \n-."[below(16)]);
        return;
      case 3:
        text.erase(line, next - line);
        return;
      case 4:
        text.insert(line, text.substr(line, next - line));
        return;
      default:
        return change_number(text, at);
    }
  }

  void change_number(std::string& text, std::size_t at) {
    constexpr const char* kNumbers[] = {"-1",
                                        "0",
                                        "1",
                                        "2",
                                        "15",
                                        "64",
                                        "255",
                                        "65536",
                                        "2147483648",
                                        "1e39",
                                        "inf",
                                        "nan",
                                        "none",
                                        "9223372036854775807",
                                        "-9223372036854775808",
                                        "0.5"};
    const std::size_t digit = text.find_first_of("0123456789", at);
    if (digit == std::string::npos) return;
    const std::size_t end = std::min(text.find_first_not_of("0123456789", digit), text.size());
    text.replace(digit, end - digit, kNumbers[below(std::size(kNumbers))]);
  }

  std::mt19937 random_;
};

bool runs(const std::string& text) {
  try {
    const Plan plan = read(text);
    if (plan.used_bytes() <= kMaxRunBytes) run(plan, "portable");
    return true;
  } catch (const std::invalid_argument&) {
    return false;
  } catch (const std::bad_alloc&) {
    return false;
  }
}

void fuzz(std::int64_t iterations, unsigned seed) {
  Mutator mutator(seed);
  const std::string valid[] = {text(small_network(1, false)), text(small_network(2, true)),
                               layer(kRandomWeight)};
  std::int64_t ran = 0;
  for (std::int64_t i = 0; i < iterations; ++i) ran += runs(mutator.mutated(valid[i % 3]));
  std::cout << ran << " run, " << iterations - ran << " refused\n";
  CHECK(ran > iterations / 50, "too few mutants run to test anything");
}

}  // namespace
}  // namespace tilewise::testing

int main(int argc, char** argv) {
  const std::int64_t iterations = argc > 1 ? std::atoll(argv[1]) : 4000;
  const auto seed = argc > 2 ? static_cast<unsigned>(std::atoll(argv[2])) : 1u;
  tilewise::testing::test_what_is_read_is_what_was_written();
  tilewise::testing::test_random_weights();
  tilewise::testing::test_refusals();
  std::cout << "plan_reader: " << iterations << " iterations, seed " << seed << '\n' << std::flush;
  tilewise::testing::fuzz(iterations, seed);
  std::cout << "plan_reader: passed\n";
}
