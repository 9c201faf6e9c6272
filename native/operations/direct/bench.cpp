#include "tools/bench.h"

namespace tilewise::tools {

// channels, filters, kernel, x, y: of any type.
Bench direct_bench(Command& problem) {
  testing::NetworkBuilder b(1);
  const std::int64_t x = tensor_of(b.draft, problem, "x", channels_of(problem));
  const std::int64_t y = tensor_of(b.draft, problem, "y", channels_of(problem, "filters"));
  b.input("x", x);
  b.direct("timed", x, y, problem.number_or(3, "kernel", 1, 31));
  b.output("y", y);
  return {std::move(b.draft), "timed"};
}

}  // namespace tilewise::tools
