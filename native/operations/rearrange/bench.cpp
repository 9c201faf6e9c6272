#include "tools/bench.h"

namespace tilewise::tools {

// channels, groups: of the channels, each of which becomes a column; x: of any type.
Bench rearrange_bench(Command& problem) {
  testing::NetworkBuilder b(1);
  const std::int64_t channels = channels_of(problem), groups = problem.number_or(2, "groups", 1, 8);
  const std::int64_t x = tensor_of(b.draft, problem, "x", channels * groups), y = tensor_of(b.draft, problem, "x", channels);
  b.input("x", x);
  b.rearrange("timed", x, y, {0, 0, 0, channels, 1, 0, 2, 0}, {{1}, {2}, {3, 0}});
  b.output("y", y);
  return {std::move(b.draft), "timed"};
}

}  // namespace tilewise::tools
