// The output pixels of a convolution by which of their window's pixels lie in the image: rectangles of the
// output map, and what each has to sum over.
//
// A segment is a pixel of the window, its row times the window's width plus its column.
#pragma once

#include <cstdint>
#include <vector>

#include "kernels/convolution.h"
#include "kernels/op.h"

namespace tilewise {

// Segments first .. first + count - 1 of one row of the window. What they read lies one after another in
// memory.
struct Stretch {
  std::int32_t first, count;

  bool operator==(const Stretch&) const = default;
};

struct Region {
  std::int64_t first_row, rows, first_col, cols;
  std::int64_t first;              // how many pixels of the image come in regions before
  std::vector<Stretch> inside;     // segments within the image, whatever the pixel
  std::vector<Stretch> mixed;      // those within it for some pixels only, one by one
  std::vector<Stretch> outside;    // the others, one by one; none if they add nothing
  std::vector<Stretch> stretches;  // all of them, in order

  std::int64_t pixels() const { return rows * cols; }
};

struct RegionRules {
  bool joined;  // whether the pixels of a row of the window lie one after another, with nothing in between
  bool skips;   // whether what lies outside the image adds nothing
  bool mixes;   // whether zeros may be added for what lies outside the image
  std::int64_t together = 6;  // pixels that are multiplied together
  double fewest = 2.5;        // fewer of them take as long as this many: they wait for weights
  std::int64_t segment_work;  // instructions for a pixel's products with one segment
};

// Together they hold each pixel of y once. Cut so that the work is least: more and smaller regions leave out
// more of what lies outside and have longer stretches, but one or two pixels alone wait for weights.
std::vector<Region> regions(const Window& window, const TensorRef& x, const TensorRef& y,
                            const RegionRules& rules);

}  // namespace tilewise
