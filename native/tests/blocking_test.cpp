// The model that cuts fast convolutions into blocks and tasks.
#include "kernels/blocking.h"

#include "tests/check.h"

namespace tilewise::testing {
namespace {

constexpr Caches kSmall{.second = 256 << 10, .last = 2 << 20}, kServer{.second = 1 << 20, .last = 32 << 20};

void test_most_tiles() {
  // F4 with 64 channels: 36 taps, 9 KiB of M for each tile.
  const TileSize f4{.v_bytes = 36 * 64, .m_bytes = 36 * 64 * 4, .rows = 12};
  CHECK(most_tiles(f4, 100, kServer) == 48, "M fills half of the second-level cache");
  CHECK(most_tiles(f4, 100, kSmall) == 12, "a small cache, small blocks");
  // SFC6 with 2048 channels: V would fill the last cache.
  const TileSize sfc6{.v_bytes = 144 * 2048, .m_bytes = 144 * 64 * 4, .rows = 12};
  CHECK(most_tiles(sfc6, 25, kServer) == 12, "as many as a micro-kernel takes");
  CHECK(most_tiles(sfc6, 25, kSmall) == 12, "never fewer than that");
  CHECK(most_tiles(sfc6, 24, kServer) == 24, "two runs take all: one block");
  CHECK(most_tiles(sfc6, 12, kServer) == 12, "one run takes all");
  CHECK(most_tiles(f4, 16, kServer) == 48, "few tiles make no block smaller");
}

void test_share_out() {
  CHECK((share_out({.tiles = 49, .panels = 8, .most = 48, .threads = 1}) == Blocks{2, 1}), "one thread");
  CHECK((share_out({.tiles = 1, .panels = 8, .most = 48, .threads = 1}) == Blocks{1, 1}), "one tile");
  CHECK((share_out({.tiles = 64, .panels = 1, .most = 48, .threads = 2}) == Blocks{2, 1}), "halves, not 48 and 16");
  CHECK((share_out({.tiles = 4, .panels = 8, .most = 48, .threads = 2}).count == 1), "few tiles share panels");
  CHECK((share_out({.tiles = 1, .panels = 1, .most = 48, .threads = 8}) == Blocks{1, 1}), "nothing to share");
}

// Whatever is asked for: every tile in a block, none larger than allowed, no thread left with twice its share.
void test_all_sizes() {
  for (std::int64_t tiles = 1; tiles < 300; tiles += 1 + tiles / 7) {
    for (std::int64_t panels = 1; panels <= 9; ++panels) {
      for (const std::int64_t most : {1, 12, 48}) {
        for (const int threads : {1, 2, 3, 8, 64}) {
          const Blocks b = share_out({tiles, panels, most, threads});
          CHECK(1 <= b.count && b.count <= tiles && 1 <= b.parts && b.parts <= panels, "within bounds");
          CHECK((tiles + b.count - 1) / b.count <= most, "no block too large");
          const std::int64_t pixels = pixels_per_task(tiles, panels, threads);
          CHECK(1 <= pixels && pixels <= 96, "pixels of a task");
        }
      }
    }
  }
  CHECK(pixels_per_task(1024, 1, 2) * 12 >= 1024, "an even number of tasks");
}

}  // namespace
}  // namespace tilewise::testing

int main() {
  tilewise::testing::test_most_tiles();
  tilewise::testing::test_share_out();
  tilewise::testing::test_all_sizes();
}
