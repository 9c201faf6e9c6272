#include "tools/bench.h"

namespace tilewise::tools {

// channels, maximum: 0 for means, kernel, stride; x, y: of any type.
Bench pool_bench(Command& problem) {
  testing::NetworkBuilder b(1);
  const std::int64_t channels = channels_of(problem);
  const std::int64_t x = tensor_of(b.draft, problem, "x", channels), y = tensor_of(b.draft, problem, "y", channels);
  b.input("x", x);
  const std::int64_t kernel = problem.number_or(2, "kernel", 1, 31);
  b.pool("timed", x, y, problem.number_or(1, "maximum", 0, 1) == 1, kernel, problem.number_or(2, "stride", 1, 31), 0);
  b.output("y", y);
  return {std::move(b.draft), "timed"};
}

}  // namespace tilewise::tools
