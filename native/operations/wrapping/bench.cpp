#include "tools/bench.h"
#include "tests/kernel_algorithms.h"

namespace tilewise::tools {

// channels, filters, algorithm: one of tests/kernel_algorithms.h, y: of any type.
Bench wrapping_bench(Command& problem) {
  testing::NetworkBuilder b(1);
  const std::int64_t x = b.draft.bytes(channels_of(problem));
  const std::int64_t y = tensor_of(b.draft, problem, "y", channels_of(problem, "filters"));
  b.input("x", x);
  const std::string name = problem.text_or("SFC6(3)", "algorithm");
  for (const testing::WrappingCase& c : testing::kWrappingCases) {
    if (name != c.name) continue;
    b.wrapping("timed", x, y, {}, {c.name, c.sizes.m, c.sizes.r, c.sizes.n, c.at, c.g, c.bt, c.sizes.planar});
    b.output("y", y);
    return {std::move(b.draft), "timed"};
  }
  refuse("algorithm is ", name.substr(0, kMaxShown), ", must be one of tests/kernel_algorithms.h, such as SFC6(3)");
}

}  // namespace tilewise::tools
