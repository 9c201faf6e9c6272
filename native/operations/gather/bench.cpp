#include "tools/bench.h"

namespace tilewise::tools {

// channels, parts: how many tensors are put side by side.
Bench gather_bench(Command& problem) {
  testing::NetworkBuilder b(1);
  const std::int64_t channels = channels_of(problem), parts = problem.number_or(2, "parts", 1, 8);
  std::vector<std::int64_t> x;
  for (std::int64_t i = 0; i < parts; ++i) {
    x.push_back(b.draft.bytes(channels));
    b.input(std::string("x").append(std::to_string(i)), x.back());
  }
  const std::int64_t y = b.draft.bytes(channels * parts);
  b.gather("timed", x, y, {});
  b.output("y", y);
  return {std::move(b.draft), "timed"};
}

}  // namespace tilewise::tools
