#include <string>

#include "tests/light_kernels.h"
#include "tests/refusals.h"

namespace tilewise::testing {
namespace {

void test_kernels(std::int64_t multiple) {
  Random random(6);
  for_formats("resize", [&](int from, int to, std::int64_t channels, const std::string& given) {
    const std::string text = given + ", pixels of multiples of " + std::to_string(multiple);
    const Memory x = filled(shaped(from, 3, 4, channels, multiple), random);
    Memory y(shaped(to, 4, 5, channels, multiple), kImages, 0xFF);
    const Resize resize{.x = &x.tensor,
                        .y = &y.tensor,
                        .rows = {{0, 1, 0.25f}, {1, 2, 0.7f}, {2, 2, 0}, {0, 2, 1}},
                        .cols = {{0, 1, 0.1f}, {3, 3, 0.5f}, {1, 2, 0.9f}, {1, 3, 0}, {2, 1, 1}}};
    const auto formula = [&](const Place& p) {
      const Resize::Tap r = resize.rows[static_cast<std::size_t>(p.row)],
                        c = resize.cols[static_cast<std::size_t>(p.col)];
      const auto at = [&](std::int64_t i, std::int64_t j) { return real(x.tensor, {p.image, i, j, p.channel}); };
      const float upper = (1 - c.weight) * at(r.low, c.low) + c.weight * at(r.low, c.high);
      const float lower = (1 - c.weight) * at(r.high, c.low) + c.weight * at(r.high, c.high);
      return (1 - r.weight) * upper + r.weight * lower;
    };
    for_sets([&](const KernelSet& set, const std::string& by) {
      run(*set.resize(resize), {.images = kImages});
      check_output(y, formula, text + " by " + by);
    });
  });
}

void test_cubic_kernels() {
  Random random(7);
  for_formats("cubic resize", [&](int from, int to, std::int64_t channels, const std::string& text) {
    const Memory x = filled(shaped(from, 3, 4, channels), random);
    Memory y(shaped(to, 2, 2, channels), kImages, 0xFF);
    const Resize resize{.x = &x.tensor,
                        .y = &y.tensor,
                        .rows = {},
                        .cols = {},
                        .cubic_rows = {{{0, 0, 1, 2}, {-0.1f, 0.9f, 0.3f, -0.1f}}, {{0, 1, 2, 2}, {0, 1, 0, 0}}},
                        .cubic_cols = {{{0, 0, 1, 2}, {-0.09f, 0.8f, 0.4f, -0.11f}}, {{1, 2, 3, 3}, {-0.1f, 0.6f, 0.6f, -0.1f}}}};
    const auto formula = [&](const Place& p) {
      const Resize::Cubic &rows = resize.cubic_rows[static_cast<std::size_t>(p.row)],
                          &cols = resize.cubic_cols[static_cast<std::size_t>(p.col)];
      float sum = 0;
      for (std::size_t i = 0; i < 4; ++i) {
        float along = 0;
        for (std::size_t j = 0; j < 4; ++j) along += cols.weights[j] * real(x.tensor, {p.image, rows.pixels[i], cols.pixels[j], p.channel});
        sum += rows.weights[i] * along;
      }
      return sum;
    };
    for_sets([&](const KernelSet& set, const std::string& by) {
      run(*set.resize(resize), {.images = kImages});
      check_output(y, formula, text + " by " + by);
    });
  });
}

enum class To { kSize, kFactors, kLike };

Draft network(To to) {
  NetworkBuilder b(1);
  const std::int64_t x = b.draft.floats(3), other = b.draft.floats(3), y = b.draft.floats(3);
  b.input("x", x), b.input("other", other);
  b.resize("resized", x, y, to == To::kSize ? std::vector<std::int64_t>{7, 8} : std::vector<std::int64_t>{0, 0},
           to == To::kLike ? other : kNoTensor, to == To::kFactors ? 1.5 : 0);
  b.output("y", y);
  return std::move(b.draft);
}

void test_sizes() {
  check_size(network(To::kSize), {{3, 3}, {5, 9}}, {7, 8});
  check_size(network(To::kFactors), {{3, 4}, {5, 9}}, {4, 6});
  check_size(network(To::kLike), {{3, 3}, {5, 9}}, {5, 9});
  size_refused(network(To::kFactors), {{50000, 4}, {1, 1}}, "resized: the height of y would be 75000, must be 1..65536");
  Draft small = network(To::kFactors);
  small("resized", "col_scale") = json(0.25);
  size_refused(small, {{4, 3}, {1, 1}}, "resized: the width of y would be 0, must be 1..65536");
}

// Rows 0, 1, 2, ... along one axis, as torch resizes them.
std::vector<float> resized(Draft draft, std::int64_t in, bool align_corners) {
  draft("resized", "align_corners") = json(align_corners);
  const Loaded loaded(draft);
  const Size size = infer_sizes(loaded.program, shapes_of({{in, 8}, {1, 1}}))[2];
  Memory x(tensor(Dtype::kFloat32, in, 8, 3, false), 1, 0), y(tensor(Dtype::kFloat32, size.height, size.width, 3, false), 1, 0);
  for (std::int64_t i = 0; i < x.tensor.pixels() * x.tensor.stride; ++i)
    reinterpret_cast<float*>(x.tensor.data)[i] = static_cast<float>(i / x.tensor.stride / 8);
  const TensorRef refs[3] = {x.tensor, x.tensor, y.tensor};
  run(*loaded.program.operations()[2]->make(kernel_set("portable"), refs).op, {.images = 1});
  std::vector<float> result;
  for (std::int64_t i = 0; i < size.height; ++i)
    result.push_back(reinterpret_cast<const float*>(y.tensor.data)[i * size.width * y.tensor.stride]);
  return result;
}

void test_taps() {
  Draft draft = network(To::kSize);
  const auto to = [&](std::int64_t height) {
    draft("resized", "size") = numbers({height, 8});
    return draft;
  };
  CHECK((resized(to(4), 2, false) == std::vector<float>{0, 0.25F, 0.75F, 1}), "twice as many");
  CHECK((resized(to(2), 4, false) == std::vector<float>{0.5F, 2.5F}), "half as many");
  CHECK((resized(to(3), 2, true) == std::vector<float>{0, 0.5F, 1}), "corners");
  CHECK((resized(to(1), 4, true) == std::vector<float>{0}), "one of corners");
  CHECK((resized(to(3), 3, false) == std::vector<float>{0, 1, 2}), "as many");
  Draft factors = network(To::kFactors);
  factors("resized", "row_scale") = json(2.0), factors("resized", "col_scale") = json(1.0);
  CHECK((resized(factors, 2, false) == std::vector<float>{0, 0.25F, 0.75F, 1}), "by factors");
  const auto by = [&](std::int64_t mode, std::int64_t height) {
    Draft changed = to(height);
    changed("resized", "mode") = json(mode);
    return changed;
  };
  CHECK((resized(by(1, 5), 3, false) == std::vector<float>{0, 0, 1, 1, 2}), "the nearest one");
  CHECK((resized(by(1, 2), 5, false) == std::vector<float>{0, 2}), "the nearest one of more");
  CHECK((resized(by(2, 2), 5, false) == std::vector<float>{1, 3}), "the nearest one to the middle");
  CHECK((resized(by(3, 3), 3, false) == std::vector<float>{0, 1, 2}), "as many, bicubic");
  CHECK((resized(by(3, 2), 4, false) == std::vector<float>{0.40625F, 2.59375F}), "half as many, bicubic");
}

void test_refusals() {
  refused(network(To::kSize), "resized: has neither a size nor factors, must have one of them",
          [](Draft& d) { d("resized", "size") = numbers({0, 8}); });
  refused(network(To::kFactors), "resized: has neither a size nor factors",
          [](Draft& d) { d("resized", "row_scale") = json(0); });
  refused(network(To::kSize), "resized: the number of channels of y is 4, must be 3, the channels of x",
          [](Draft& d) { Draft::field(d.tensors()[2], "channels") = json(4); });
  for (const std::size_t tensor : {0, 2}) {
    refused(network(To::kSize), std::string("resized: ") + (tensor == 0 ? "x" : "y") + " is bfloat16, must be uint8, int16 or float32",
            [&](Draft& d) { Draft::field(d.tensors()[tensor], "dtype") = json("bfloat16"); });
  }
}

}  // namespace

void test_resize() {
  for (const std::int64_t multiple : {16, 4, 1}) test_kernels(multiple);
  test_cubic_kernels();
  test_sizes();
  test_taps();
  test_refusals();
}

}  // namespace tilewise::testing
