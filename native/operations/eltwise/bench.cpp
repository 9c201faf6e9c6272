#include "tools/bench.h"

namespace tilewise::tools {

// channels, residual: 1 adds a tensor of bytes; function; x, y: of any type.
Bench eltwise_bench(Command& problem) {
  testing::NetworkBuilder b(1);
  const std::int64_t channels = channels_of(problem);
  const std::int64_t x = tensor_of(b.draft, problem, "x", channels), y = tensor_of(b.draft, problem, "y", channels);
  b.input("x", x);
  if (problem.number_or(0, "residual", 0, 1) == 0) {
    b.eltwise("timed", x, y, {.function = problem.text_or("", "function")});
  } else {
    const std::int64_t added = b.draft.bytes(channels);
    b.input("added", added);
    b.eltwise("timed", x, y, {.residual = added});
  }
  b.output("y", y);
  return {std::move(b.draft), "timed"};
}

}  // namespace tilewise::tools
