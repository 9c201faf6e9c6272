#include "tools/bench.h"

namespace tilewise::tools {

// channels, rows, cols: of the result; x, y: of any type.
Bench resize_bench(Command& problem) {
  testing::NetworkBuilder b(1);
  const std::int64_t channels = channels_of(problem);
  const std::int64_t x = tensor_of(b.draft, problem, "x", channels), y = tensor_of(b.draft, problem, "y", channels);
  b.input("x", x);
  b.resize("timed", x, y, {problem.number_or(112, "rows", 1, 4096), problem.number_or(112, "cols", 1, 4096)});
  b.output("y", y);
  return {std::move(b.draft), "timed"};
}

}  // namespace tilewise::tools
