#include "tools/bench.h"

namespace tilewise::tools {

// channels: of the result, factor; x, y: of any type.
Bench pixel_shuffle_bench(Command& problem) {
  testing::NetworkBuilder b(1);
  const std::int64_t channels = channels_of(problem, "channels", 16), factor = problem.number_or(2, "factor", 1, 8);
  const std::int64_t x = tensor_of(b.draft, problem, "x", channels * factor * factor);
  const std::int64_t y = tensor_of(b.draft, problem, "y", channels);
  b.input("x", x);
  b.pixel_shuffle("timed", x, y, factor);
  b.output("y", y);
  return {std::move(b.draft), "timed"};
}

}  // namespace tilewise::tools
