#include "tools/bench.h"

namespace tilewise::tools {

// channels, y: of any type, from float32.
Bench input_bench(Command& problem) {
  testing::NetworkBuilder b(1);
  const std::int64_t y = tensor_of(b.draft, problem, "y", channels_of(problem));
  b.input("timed", y);
  b.output("y", y);
  return {std::move(b.draft), "timed"};
}

}  // namespace tilewise::tools
