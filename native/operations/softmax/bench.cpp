#include "tools/bench.h"

namespace tilewise::tools {

// channels; x: of any type.
Bench softmax_bench(Command& problem) {
  testing::NetworkBuilder b(1);
  const std::int64_t channels = channels_of(problem);
  const std::int64_t x = tensor_of(b.draft, problem, "x", channels), y = b.draft.floats(channels);
  b.input("x", x);
  b.softmax("timed", x, y);
  b.output("y", y);
  return {std::move(b.draft), "timed"};
}

}  // namespace tilewise::tools
