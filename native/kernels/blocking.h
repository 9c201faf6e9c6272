// How the tiles of a fast convolution are cut into blocks, and its work into tasks: from sizes alone, apart
// from the kernels.
#pragma once

#include <cstdint>

namespace tilewise {

// Sizes of this machine's caches, per core, in bytes.
struct Caches {
  std::int64_t second = 1 << 20, last = 8 << 20;
};

// What the system says; the values above where it says nothing.
const Caches& caches();

// What a tile takes in the scratch memory of a thread.
struct TileSize {
  std::int64_t v_bytes = 0;  // all taps and input channels
  std::int64_t m_bytes = 0;  // all taps and one panel of output channels
  std::int64_t rows = 1;     // tiles that go through a micro-kernel together
};

// Tiles in a block, at most. Weights are read once for each block, so it should be large; but M is written
// and read again right away, so it should stay in the second-level cache together with the weights of a tap.
// V is only read, in order, once per panel: it may lie in the last-level cache. An image of so few `tiles`
// that two runs of the micro-kernel take them all is one block, whatever M takes.
std::int64_t most_tiles(const TileSize& size, std::int64_t tiles, const Caches& caches = tilewise::caches());

struct Work {
  std::int64_t tiles = 1, panels = 1;
  std::int64_t most = 1;  // tiles in a block
  int threads = 1;
};

// Block i goes from tile i * tiles / count on; each is cut into `parts` groups of panels. A task is one group
// of one block.
struct Blocks {
  std::int64_t count = 1, parts = 1;

  bool operator==(const Blocks&) const = default;
};

// Equal blocks, none larger than `most`, such that the thread with the most to do has least. Few tiles per
// block waste weights; groups of panels make every thread transform the same input. (With one thread: as few
// blocks as possible.)
Blocks share_out(const Work& work);

// Output pixels of a direct convolution that make one task with each panel: at most 96, the same number for
// all threads.
std::int64_t pixels_per_task(std::int64_t pixels, std::int64_t panels, int threads);

}  // namespace tilewise
