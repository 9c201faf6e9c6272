#include "kernels/blocking.h"

#include <unistd.h>

#include <algorithm>

namespace tilewise {
namespace {

Caches detect() {
  Caches found;
#ifdef _SC_LEVEL2_CACHE_SIZE
  if (const long bytes = sysconf(_SC_LEVEL2_CACHE_SIZE); bytes > 0) found.second = bytes;
  if (const long bytes = sysconf(_SC_LEVEL3_CACHE_SIZE); bytes > 0) found.last = bytes;
#endif
  return found;
}

std::int64_t divide_up(std::int64_t a, std::int64_t b) { return (a + b - 1) / b; }

// What the busiest thread has to do, in units of one tile's products with one panel.
double makespan(const Work& work, const Blocks& blocks) {
  constexpr double kInput = 0.3;    // transforming a tile's input
  constexpr double kWeights = 1.5;  // reading the weights of a panel, for a whole block
  const auto tiles = static_cast<double>(divide_up(work.tiles, blocks.count));
  const auto panels = static_cast<double>(divide_up(work.panels, blocks.parts));
  const std::int64_t tasks = divide_up(blocks.count * blocks.parts, work.threads);
  const auto inputs = static_cast<double>(divide_up(tasks, blocks.parts));
  return static_cast<double>(tasks) * panels * (tiles + kWeights) + inputs * kInput * tiles;
}

}  // namespace

const Caches& caches() {
  static const Caches found = detect();
  return found;
}

std::int64_t most_tiles(const TileSize& size, std::int64_t tiles, const Caches& caches) {
  const std::int64_t fitting = std::min(caches.second / 2 / size.m_bytes, caches.last / 4 / size.v_bytes);
  const bool few = size.rows < tiles && tiles <= 2 * size.rows;
  return std::max<std::int64_t>(few ? 2 : 1, fitting / size.rows) * size.rows;
}

Blocks share_out(const Work& work) {
  const std::int64_t fewest = divide_up(work.tiles, work.most);
  Blocks best{fewest, 1};
  if (work.threads == 1) return best;
  const std::int64_t even = std::min(work.tiles, divide_up(fewest, work.threads) * work.threads);
  double least = makespan(work, best);
  for (const std::int64_t count : {fewest, even}) {
    for (const std::int64_t parts :
         {std::int64_t{1}, std::min<std::int64_t>(work.panels, work.threads), work.panels}) {
      const double time = makespan(work, {count, parts});
      if (time < least) best = {count, parts}, least = time;
    }
  }
  return best;
}

std::int64_t pixels_per_task(std::int64_t pixels, std::int64_t panels, int threads) {
  constexpr std::int64_t kMost = 96, kRows = 6;
  const std::int64_t fewest = divide_up(pixels, kMost);
  if (panels >= threads || threads == 1) return std::min(kMost, pixels);
  const std::int64_t count = divide_up(fewest, threads) * threads;
  return std::min(kMost, divide_up(divide_up(pixels, count), kRows) * kRows);
}

}  // namespace tilewise
