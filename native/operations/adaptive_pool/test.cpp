#include <string>
#include <vector>

#include "kernels/set.h"
#include "tests/kernel_cases.h"
#include "tests/refusals.h"

namespace tilewise::testing {
namespace {

Draft network() {
  NetworkBuilder b(1);
  const std::int64_t x = b.draft.floats(1), y = b.draft.floats(1);
  b.input("x", x);
  b.adaptive_pool("shared", x, y, 3, 2);
  b.output("y", y);
  return std::move(b.draft);
}

void test_sizes() {
  for (const Size size : {Size{1, 1}, Size{3, 2}, Size{100, 7}}) check_size(network(), {size}, {3, 2});
}

// As torch: window i of `out` goes from floor(i * in / out) to ceil((i + 1) * in / out). Of rows 0, 1, ... the mean.
void test_windows() {
  const Loaded loaded(network());
  for (const auto& [height, expected] : {std::pair<std::int64_t, std::vector<float>>{1, {0, 0, 0}},
                                         {3, {0, 1, 2}},
                                         {4, {0.5F, 1.5F, 2.5F}},
                                         {6, {0.5F, 2.5F, 4.5F}}}) {
    Memory x(tensor(Dtype::kFloat32, height, 5, 1, false), 1, 0), y(tensor(Dtype::kFloat32, 3, 2, 1, false), 1, 0);
    for (std::int64_t i = 0; i < x.tensor.pixels(); ++i)
      reinterpret_cast<float*>(x.tensor.data)[i * x.tensor.stride] = static_cast<float>(i / 5);
    const TensorRef refs[2] = {x.tensor, y.tensor};
    const auto op = loaded.program.operations()[1]->make(kernel_set("portable"), refs).op;
    op->run({.images = 1}, 0, op->tasks({.images = 1}), nullptr, nullptr);
    for (std::int64_t i = 0; i < 6; ++i) {
      const float mean = reinterpret_cast<const float*>(y.tensor.data)[i * y.tensor.stride];
      const float difference = mean - expected[static_cast<std::size_t>(i / 2)];
      CHECK(difference < 1e-6F && difference > -1e-6F, std::to_string(height) + " rows, " + std::to_string(mean));
    }
  }
}

void test_refusals() {
  refused(network(), "shared: size is 0, must be 1..65536", [](Draft& d) { d("shared", "size") = numbers({0, 2}); });
  refused(network(), "shared: the number of channels of y is 2, must be 1",
          [](Draft& d) { Draft::field(d.tensors()[1], "channels") = json(2); });
}

}  // namespace

void test_adaptive_pool() {
  test_sizes();
  test_windows();
  test_refusals();
}

}  // namespace tilewise::testing
