#include <algorithm>
#include <limits>
#include <string>
#include <vector>

#include "tests/light_kernels.h"
#include "tests/refusals.h"

namespace tilewise::testing {
namespace {

// `counted` is what a mean divides by along an axis: here padding too.
std::vector<Pool::Span> windows(std::int64_t in, std::int64_t size, std::int64_t step, std::int64_t pad) {
  std::vector<Pool::Span> spans;
  for (std::int64_t begin = -pad; begin + size <= in + pad || spans.empty(); begin += step) {
    const std::int64_t first = std::max<std::int64_t>(begin, 0);
    spans.push_back({first, std::max(first + 1, std::min(begin + size, in)), size});
  }
  return spans;
}

void test_kernels() {
  Random random(2);
  for_formats("pool", [&](int from, int to, std::int64_t channels, const std::string& text) {
    for (int options = 0; options < 6; ++options) {
      const auto [height, width] = kSizes[options / 2];
      const Memory x = filled(shaped(from, height, width, channels), random);
      Pool pool{.x = &x.tensor, .y = nullptr, .maximum = options % 2 == 0, .rows = {}, .cols = {}, .divisor = 0};
      pool.rows = windows(height, 3, 2, 1), pool.cols = windows(width, 2, 1, 0);
      if (options == 3) pool.divisor = 7;
      Memory y(shaped(to, static_cast<std::int64_t>(pool.rows.size()), static_cast<std::int64_t>(pool.cols.size()), channels),
               kImages, 0xFF);
      pool.y = &y.tensor;
      const auto formula = [&](const Place& p) {
        const Pool::Span rows = pool.rows[static_cast<std::size_t>(p.row)];
        const Pool::Span cols = pool.cols[static_cast<std::size_t>(p.col)];
        float best = -std::numeric_limits<float>::infinity(), sum = 0;
        int steps = 0;
        for (std::int64_t i = rows.begin; i < rows.end; ++i) {
          for (std::int64_t j = cols.begin; j < cols.end; ++j) {
            const Place at{p.image, i, j, p.channel};
            best = std::max(best, real(x.tensor, at));
            sum += real(x.tensor, at);
            if (from != 0) steps += stored(x.tensor, position(x.tensor, at)) - x.tensor.grid.zero;
          }
        }
        const std::int64_t count = rows.counted * cols.counted;
        const float reciprocal = 1.0f / static_cast<float>(pool.divisor ? pool.divisor : count);
        if (from != 0) sum = static_cast<float>(steps) * x.tensor.grid.step;
        return pool.maximum ? best : sum * reciprocal;
      };
      for_sets([&](const KernelSet& set, const std::string& by) {
        run(*set.pool(pool), {.images = kImages});
        check_output(y, formula, text + " by " + by);
      });
    }
  });
}

Draft network(std::int64_t kernel, std::int64_t stride, std::int64_t padding, bool ceil = false, bool count_padding = false,
              bool maximum = true) {
  NetworkBuilder b(1);
  const std::int64_t x = b.draft.bytes(1), y = b.draft.floats(1);
  b.input("x", x);
  b.pool("pooled", x, y, maximum, kernel, stride, padding);
  b.output("y", y);
  b.draft("pooled", "ceil") = json(ceil);
  b.draft("pooled", "count_padding") = json(count_padding);
  return std::move(b.draft);
}

void test_sizes() {
  check_size(network(3, 2, 1), {{8, 9}}, {4, 5});
  check_size(network(2, 2, 0), {{7, 6}}, {3, 3});
  check_size(network(2, 2, 0, true), {{7, 6}}, {4, 3});
  check_size(network(2, 3, 1, true), {{6, 5}}, {3, 2});  // none begins beyond the image and the padding before it
  Draft oblong = network(3, 2, 1);
  oblong("pooled", "kernel") = numbers({2, 5}), oblong("pooled", "stride") = numbers({1, 3});
  oblong("pooled", "padding") = numbers({0, 2});
  check_size(oblong, {{8, 9}}, {7, 3});
  size_refused(network(5, 1, 1), {{2, 9}}, "pooled: the height of its input is 2, must be at least 3");
  size_refused(network(5, 1, 1), {{9, 2}}, "pooled: the width of its input is 2, must be at least 3");
}

// Means of ones, so that they tell what was divided by: [row][column] of y.
std::vector<float> means(const Draft& draft, std::int64_t pixels) {
  const Loaded loaded(draft);
  const std::vector<Size> sizes = infer_sizes(loaded.program, shapes_of({{pixels, pixels}}));
  const auto& tensors = loaded.program.tensors();
  TensorRef refs[2];
  for (std::size_t i = 0; i < 2; ++i) {
    refs[i] = {.dtype = tensors[i].dtype, .height = sizes[i].height, .width = sizes[i].width, .channels = 1,
               .stride = tensors[i].stride, .grid = tensors[i].grid};
  }
  refs[0].grid.step = 1;
  Memory x(refs[0], 1, 1), y(refs[1], 1, 0);
  const TensorRef both[2] = {x.tensor, y.tensor};
  const auto op = loaded.program.operations()[1]->make(kernel_set("portable"), both).op;
  run(*op, {.images = 1});
  std::vector<float> result;
  for (std::int64_t i = 0; i < y.tensor.pixels(); ++i)
    result.push_back(reinterpret_cast<const float*>(y.tensor.data)[i * y.tensor.stride]);
  return result;
}

// As torch: padding is counted or not, what lies beyond it (because of ceil) never is.
void test_means() {
  const float third = 1.0F / 3, ninth = 1.0F / 9;
  CHECK((means(network(3, 2, 1, false, false, false), 3) == std::vector<float>(4, 4 * 0.25F)), "padding is not counted");
  CHECK((means(network(3, 2, 1, false, true, false), 3) == std::vector<float>(4, 4 * ninth)), "padding is counted");
  CHECK((means(network(2, 2, 0, true, true, false), 3) == std::vector<float>(4, 1)), "beyond the image");
  Draft divisor = network(2, 1, 0, false, false, false);
  divisor("pooled", "divisor") = json(3);
  CHECK((means(divisor, 3) == std::vector<float>(4, 4 * third)), "divisor");
}

void test_refusals() {
  refused(network(3, 2, 1), "pooled: the padding is 2, must be 0..1", [](Draft& d) { d("pooled", "padding") = numbers({2, 1}); });
  refused(network(3, 2, 1), "pooled: the number of channels of y is 2, must be 1",
          [](Draft& d) { Draft::field(d.tensors()[1], "channels") = json(2); });
  for (const std::size_t tensor : {0, 1}) {
    refused(network(3, 2, 1), std::string("pooled: ") + (tensor == 0 ? "x" : "y") + " is bfloat16, must be uint8, int16 or float32",
            [&](Draft& d) { d.tensors()[tensor] = object({{"name", json("t")}, {"channels", json(1)}, {"dtype", json("bfloat16")}}); });
  }
}

// A mean over so many pixels that the sum of their bytes would not fit int32.
void test_sums() {
  const auto make = [](std::int64_t pixels) {
    const Loaded loaded(network(pixels, 1, 0, false, false, false));
    TensorRef refs[2];
    refs[0].dtype = Dtype::kUint8, refs[0].height = refs[0].width = pixels, refs[0].channels = 1, refs[0].stride = 16;
    refs[1] = refs[0], refs[1].height = refs[1].width = 1;
    loaded.program.operations()[1]->make(kernel_set("portable"), refs);
  };
  make(2901);
  CHECK(throws<std::invalid_argument>([&] { make(2902); },
                                      "pooled: the number of pixels of the largest window is 8421604, must be 1..8421504"),
        "sums");
}

}  // namespace

void test_pool() {
  test_kernels();
  test_sizes();
  test_means();
  test_refusals();
  test_sums();
}

}  // namespace tilewise::testing
