#include "tools/bench.h"

namespace tilewise::tools {

// channels, x: of any type, to float32.
Bench output_bench(Command& problem) {
  testing::NetworkBuilder b(1);
  const std::int64_t x = tensor_of(b.draft, problem, "x", channels_of(problem));
  b.input("x", x);
  b.output("timed", x);
  return {std::move(b.draft), "timed"};
}

}  // namespace tilewise::tools
