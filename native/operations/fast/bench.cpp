#include "tools/bench.h"
#include "tests/kernel_algorithms.h"

namespace tilewise::tools {

// channels, filters, algorithm: one of tests/kernel_algorithms.h, block: tiles together, x, y: of any type.
Bench fast_bench(Command& problem) {
  testing::NetworkBuilder b(1);
  const std::int64_t x = tensor_of(b.draft, problem, "x", channels_of(problem));
  const std::int64_t y = tensor_of(b.draft, problem, "y", channels_of(problem, "filters"));
  b.input("x", x);
  const std::string name = problem.text_or("F4(3/1)", "algorithm");
  for (const testing::BilinearCase& c : testing::kAlgorithms) {
    if (name != c.name) continue;
    b.fast_by("timed", x, y, {c.name, c.m, c.r, c.n, c.stride, c.bt, c.at, 1, 1, c.planar});
    b.draft("timed", "block") = testing::json(problem.number_or(0, "block", 0, 4096));
    b.output("y", y);
    const double tolerance = b.is_float(x) ? 1e-3 : 0;  // float sums of a fast layer have no one order
    return {std::move(b.draft), "timed", tolerance};
  }
  refuse("algorithm is ", name.substr(0, kMaxShown), ", must be one of tests/kernel_algorithms.h, such as F4(3/1)");
}

}  // namespace tilewise::tools
