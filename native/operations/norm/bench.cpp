#include "tools/bench.h"

namespace tilewise::tools {

// channels, groups: 0 for a norm over the channels of each pixel; x, y: of any type.
Bench norm_bench(Command& problem) {
  testing::NetworkBuilder b(1);
  const std::int64_t channels = channels_of(problem);
  const std::int64_t x = tensor_of(b.draft, problem, "x", channels), y = tensor_of(b.draft, problem, "y", channels);
  b.input("x", x);
  b.norm("timed", x, y, problem.number_or(0, "groups", 0, channels));
  b.output("y", y);
  return {std::move(b.draft), "timed"};
}

}  // namespace tilewise::tools
