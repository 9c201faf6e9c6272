#include "tools/bench.h"

namespace tilewise::tools {

// channels, filters, m: outputs of a tile, kernel, moduli: 2 or 3, y: of any type.
Bench residue_bench(Command& problem) {
  testing::NetworkBuilder b(1);
  const std::int64_t x = b.draft.bytes(channels_of(problem));
  const std::int64_t y = tensor_of(b.draft, problem, "y", channels_of(problem, "filters"));
  b.input("x", x);
  const std::int64_t m = problem.number_or(8, "m", 2, 16), kernel = problem.number_or(3, "kernel", 3, 7);
  std::vector<std::int64_t> moduli = {8191, 8189, 8179};
  moduli.resize(static_cast<std::size_t>(problem.number_or(2, "moduli", 2, 3)));
  b.residue("timed", x, y, m, moduli, {}, kernel);
  b.output("y", y);
  return {std::move(b.draft), "timed"};
}

}  // namespace tilewise::tools
