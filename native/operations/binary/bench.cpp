#include "tools/bench.h"

namespace tilewise::tools {

// channels, kind; other: gate for a number for each channel, else a tensor of the same size; x, y: of any type.
Bench binary_bench(Command& problem) {
  testing::NetworkBuilder b(1);
  const std::int64_t channels = channels_of(problem);
  const std::int64_t x = tensor_of(b.draft, problem, "x", channels), y = tensor_of(b.draft, problem, "y", channels);
  const std::int64_t gate = b.draft.floats(channels), other = b.draft.bytes(channels);
  b.input("x", x);
  b.adaptive_pool("gate", x, gate, 1, 1);
  b.eltwise("other", x, other);
  const bool gated = problem.text_or("gate", "other") == "gate";
  b.binary("timed", problem.text_or("multiply", "kind").c_str(), x, gated ? gate : other, y);
  b.output("y", y);
  return {std::move(b.draft), "timed"};
}

}  // namespace tilewise::tools
