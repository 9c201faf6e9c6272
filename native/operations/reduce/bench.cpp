#include "tools/bench.h"

namespace tilewise::tools {

// channels, kind, over: channels or pixels; x: of any type.
Bench reduce_bench(Command& problem) {
  testing::NetworkBuilder b(1);
  const std::int64_t channels = channels_of(problem);
  const bool over_channels = problem.text_or("channels", "over") == "channels";
  const std::int64_t x = tensor_of(b.draft, problem, "x", channels), y = b.draft.floats(over_channels ? 1 : channels);
  b.input("x", x);
  b.reduce("timed", problem.text_or("sum", "kind").c_str(), over_channels, x, y);
  b.output("y", y);
  return {std::move(b.draft), "timed"};
}

}  // namespace tilewise::tools
