// Training steps of every kernel set: what the portable one gives, within their memory, the same twice.
#include <cmath>
#include <random>
#include <string>
#include <vector>

#include "kernels/op.h"
#include "tests/check.h"
#include "training/step.h"

namespace tilewise::testing {
namespace {

struct Matrices {
  std::int64_t m, n;
  std::vector<float> at, g, bt;
};

// Any numbers do for the kernels; B^T of few whole ones, so that V is exact and no set rounds it otherwise.
Matrices matrices(std::int64_t m, std::mt19937& random) {
  const std::int64_t n = m + 2;
  Matrices result{m, n, {}, {}, {}};
  std::uniform_int_distribution<int> whole(-3, 3);
  const auto fill = [&](std::vector<float>& to, std::int64_t count) {
    for (std::int64_t i = 0; i < count; ++i) to.push_back(static_cast<float>(whole(random)));
  };
  fill(result.at, m * n);
  fill(result.g, n * 3);
  fill(result.bt, n * n);
  return result;
}

struct Shape {
  std::int64_t images, channels, filters, height, width, pad;
};

// Everything a step writes, in vectors of exactly its size, so that the sanitizers see what lies beyond.
struct Results {
  std::vector<std::uint8_t> u;
  std::vector<float> scale, y, v_absmax, dx, dweight, dat, dg, dbt;
  ValueRange range{};
};

std::vector<float> noise(std::int64_t count, std::mt19937& random) {
  std::normal_distribution<float> normal;
  std::vector<float> result(static_cast<std::size_t>(count));
  for (float& value : result) value = normal(random);
  return result;
}

Results step(const KernelSet& set, const Matrices& matrices, const Shape& shape, int threads, bool learned) {
  std::mt19937 random(7);
  TrainingConv conv;
  conv.images = shape.images, conv.channels = shape.channels, conv.filters = shape.filters;
  conv.height = shape.height, conv.width = shape.width, conv.pad_top = conv.pad_left = shape.pad;
  conv.m = matrices.m, conv.r = 3, conv.n = matrices.n;
  conv.at = matrices.at.data(), conv.g = matrices.g.data(), conv.bt = matrices.bt.data();
  conv.grid = {50, -127, 127};
  const auto size = [](std::int64_t count) { return static_cast<std::size_t>(count); };
  const std::vector<float> ones(size(conv.taps() * conv.channels), 1.0F), range(ones.size(), 20.0F);
  const training::Multipliers multipliers = training::multipliers(range, ones, conv, 0.02F, 15);
  conv.mult = multipliers.mult.data(), conv.v_step = multipliers.v_step.data();

  const std::int64_t inputs = conv.images * conv.height * conv.width * conv.channels;
  const std::int64_t outputs = conv.images * conv.out_height() * conv.out_width() * conv.filters;
  const std::int64_t weights = conv.filters * conv.filter_size();
  const std::vector<float> x = noise(inputs, random), weight = noise(weights, random),
                           dy = noise(outputs, random);
  const std::vector<float> bias = noise(conv.filters, random);
  const float poison = std::nanf("");
  Results r;
  r.u.assign(size(conv.u_bytes()), 0xAA);
  r.scale.assign(size(conv.taps() * conv.filters), poison);
  r.y.assign(size(outputs), poison);
  r.v_absmax.assign(ones.size(), poison);
  r.dx.assign(size(inputs), poison);
  r.dweight.assign(size(weights), poison);
  if (learned) {
    r.dat.assign(matrices.at.size(), poison);
    r.dg.assign(matrices.g.size(), poison);
    r.dbt.assign(matrices.bt.size(), poison);
  }
  const TrainingKernels& kernels = training::kernels(set, conv);
  const Filters<const float> filters{weight.data(), 9, 1};
  training::forward(
      kernels, conv,
      {x.data(), filters, bias.data(), r.u.data(), r.scale.data(), r.y.data(), r.v_absmax.data(), &r.range},
      threads);
  training::backward(kernels, conv,
                     {x.data(),
                      filters,
                      r.u.data(),
                      r.scale.data(),
                      dy.data(),
                      r.dx.data(),
                      {r.dweight.data(), 9, 1},
                      learned ? r.dat.data() : nullptr,
                      learned ? r.dg.data() : nullptr,
                      learned ? r.dbt.data() : nullptr},
                     threads);
  return r;
}

void check_near(const std::vector<float>& found, const std::vector<float>& wanted,
                const std::string& context) {
  double error = 0, size = 0;
  for (std::size_t i = 0; i < wanted.size(); ++i) {
    const double value = static_cast<double>(wanted[i]), difference = static_cast<double>(found[i]) - value;
    error += difference * difference;
    size += value * value;
  }
  CHECK(error <= 1e-9 * size, context);  // false for what is not a number
}

void compare(const Results& found, const Results& wanted, const std::string& context) {
  CHECK(found.scale == wanted.scale, context);
  CHECK(found.v_absmax == wanted.v_absmax, context);
  CHECK(found.range.low == wanted.range.low && found.range.high == wanted.range.high, context);
  check_near(found.y, wanted.y, context + ", y");
  check_near(found.dx, wanted.dx, context + ", dx");
  check_near(found.dweight, wanted.dweight, context + ", dweight");
  check_near(found.dat, wanted.dat, context + ", dat");
  check_near(found.dg, wanted.dg, context + ", dg");
  check_near(found.dbt, wanted.dbt, context + ", dbt");
}

void test_steps() {
  std::mt19937 random(1);
  const KernelSet& portable = kernel_set("portable");
  for (const std::int64_t m : {2, 4, 6}) {
    const Matrices numbers = matrices(m, random);
    for (const Shape& shape :
         {Shape{3, 5, 7, 9, 11, 1}, Shape{2, 24, 70, 5, 4, 0}, Shape{1, 16, 16, 3, 3, 2}}) {
      for (const bool learned : {false, true}) {
        const Results wanted = step(portable, numbers, shape, 1, learned);
        for (const KernelSet* const set : kernel_sets()) {
          if (!set->supported() || set->training.find == nullptr) continue;
          for (const int threads : {1, 2}) {
            const std::string context = std::string(set->name) + ", m = " + std::to_string(m) +
                                        ", channels " + std::to_string(shape.channels) + ", threads " +
                                        std::to_string(threads);
            const Results found = step(*set, numbers, shape, threads, learned);
            compare(found, wanted, context);
            const Results again = step(*set, numbers, shape, threads, learned);
            CHECK(found.y == again.y && found.u == again.u && found.dx == again.dx, context);
            CHECK(found.dweight == again.dweight && found.dat == again.dat && found.dbt == again.dbt,
                  context);
          }
        }
      }
    }
  }
}

void test_refusals() {
  TrainingConv conv;
  conv.m = 3, conv.r = 3, conv.n = 5;
  CHECK(throws<std::invalid_argument>([&] { training::kernels(kernel_set("portable"), conv); },
                                      "trains no algorithm of m = 3"),
        "an unknown size");
  conv.m = 4, conv.n = 6;
  CHECK(throws<std::invalid_argument>([&] { training::kernels(kernel_set("reference"), conv); }, "reference"),
        "a set without training");
}

}  // namespace
}  // namespace tilewise::testing

int main() {
  tilewise::testing::test_steps();
  tilewise::testing::test_refusals();
}
