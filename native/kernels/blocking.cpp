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

}  // namespace

const Caches& caches() {
  static const Caches found = detect();
  return found;
}

std::int64_t most_tiles(const TileSize& size, const Caches& caches) {
  const std::int64_t fitting = std::min(caches.second / 2 / size.m_bytes, caches.last / 4 / size.v_bytes);
  return std::max<std::int64_t>(1, fitting / size.rows) * size.rows;
}

Blocks share_out(const Work& work) {
  std::int64_t count = divide_up(work.tiles, work.most);
  if (work.threads == 1) return {count, 1};
  count = std::min(work.tiles, divide_up(count, work.threads) * work.threads);
  const std::int64_t parts =
      count >= work.threads ? 1 : std::min(work.panels, divide_up(4 * work.threads, count));
  return {count, parts};
}

}  // namespace tilewise
