// Regions of a convolution's output: every pixel once, every segment where it belongs.
#include "kernels/regions.h"

#include <algorithm>
#include <vector>

#include "tests/check.h"

namespace tilewise::testing {
namespace {

TensorRef map(std::int64_t height, std::int64_t width) {
  TensorRef t;
  t.height = height, t.width = width;
  return t;
}

TensorRef output(const Window& w, const TensorRef& x) {
  return map((x.height + 2 * w.pad_top - (w.height - 1) * w.dilation_h - 1) / w.stride_h + 1,
             (x.width + 2 * w.pad_left - (w.width - 1) * w.dilation_w - 1) / w.stride_w + 1);
}

bool has(const std::vector<Stretch>& stretches, std::int64_t segment) {
  return std::ranges::any_of(
      stretches, [&](const Stretch& s) { return s.first <= segment && segment < s.first + s.count; });
}

// Of all pixels of a region: how many have the segment within the image.
std::int64_t pixels_inside(const Region& region, const Window& w, const TensorRef& x, std::int64_t segment) {
  std::int64_t count = 0;
  for (std::int64_t i = region.first_row; i < region.first_row + region.rows; ++i) {
    for (std::int64_t j = region.first_col; j < region.first_col + region.cols; ++j) {
      const std::int64_t row = i * w.stride_h - w.pad_top + segment / w.width * w.dilation_h;
      const std::int64_t col = j * w.stride_w - w.pad_left + segment % w.width * w.dilation_w;
      count += 0 <= row && row < x.height && 0 <= col && col < x.width;
    }
  }
  return count;
}

void check_region(const Region& region, const Window& w, const TensorRef& x, const RegionRules& rules) {
  for (std::int64_t segment = 0; segment < w.height * w.width; ++segment) {
    const std::int64_t inside = pixels_inside(region, w, x, segment);
    CHECK(has(region.inside, segment) == (inside == region.pixels()), "inside for all pixels");
    if (has(region.mixed, segment)) CHECK(rules.mixes, "mixed only if allowed");
    if (inside > 0) CHECK(has(region.stretches, segment), "what some pixels see is summed");
    if (!rules.skips) CHECK(has(region.stretches, segment), "nothing is left out");
  }
  std::int64_t segments = 0, next = 0;
  for (const Stretch& stretch : region.stretches) {
    CHECK(stretch.first >= next, "in order");
    CHECK(stretch.first / w.width == (stretch.first + stretch.count - 1) / w.width, "within a row");
    CHECK(stretch.count == 1 || rules.joined, "joined only if allowed");
    next = stretch.first + stretch.count, segments += stretch.count;
  }
  std::int64_t parts = 0;
  for (const auto* const list : {&region.inside, &region.mixed, &region.outside})
    for (const Stretch& stretch : *list) parts += stretch.count;
  CHECK(parts == segments, "each in one list");
}

void test_all_windows() {
  const Window windows[] = {{3, 3, 1, 1, 1, 1, 1, 1},
                            {7, 7, 2, 2, 3, 3, 1, 1},
                            {1, 1, 2, 2, 0, 0, 1, 1},
                            {3, 5, 1, 2, 4, 0, 2, 1},
                            {5, 5, 1, 1, 2, 2, 1, 3}};
  for (const Window& w : windows) {
    for (const auto& [height, width] : {std::pair<std::int64_t, std::int64_t>{4, 4}, {13, 13}, {9, 30}}) {
      for (int options = 0; options < 8; ++options) {
        const TensorRef x = map(height, width), y = output(w, x);
        if (y.height < 1 || y.width < 1) continue;  // the window is larger than the image
        for (const std::int64_t segment_work : {4, 512}) {
          const RegionRules rules{.joined = (options & 1) != 0,
                                  .skips = (options & 2) != 0,
                                  .mixes = (options & 4) != 0,
                                  .segment_work = segment_work};
          std::vector<int> seen(static_cast<std::size_t>(y.pixels()));
          std::int64_t first = 0;
          for (const Region& region : regions(w, x, y, rules)) {
            CHECK(region.first == first, "counted in order");
            first += region.pixels();
            for (std::int64_t p = 0; p < region.pixels(); ++p) {
              const std::int64_t row = region.first_row + p / region.cols,
                                 col = region.first_col + p % region.cols;
              ++seen[static_cast<std::size_t>(row * y.width + col)];
            }
            check_region(region, w, x, rules);
          }
          CHECK(std::ranges::count(seen, 1) == y.pixels(), "every pixel once");
        }
      }
    }
  }
}

// What the choice is for: 4x4 maps of many channels in three rows, large ones in nine parts, long stretches.
void test_choices() {
  const Window w{3, 3, 1, 1, 1, 1, 1, 1};
  const RegionRules rules{.joined = true, .skips = true, .mixes = true, .segment_work = 512};
  CHECK(regions(w, map(4, 4), map(4, 4), rules).size() == 3, "4x4");
  CHECK(regions(w, map(32, 32), map(32, 32), rules).size() == 9, "32x32");
  const Window stem{7, 7, 2, 2, 3, 3, 1, 1};
  const RegionRules of_stem{.joined = true, .skips = false, .mixes = true, .segment_work = 4};
  const auto parts = regions(stem, map(224, 224), map(112, 112), of_stem);
  const auto largest = std::ranges::max_element(parts, {}, &Region::pixels);
  CHECK(largest->stretches.size() == 7 && largest->inside.front().count == 7,
        "a window's row in one stretch");
  const RegionRules by_sixteen{
      .joined = true, .skips = true, .mixes = true, .together = 16, .fewest = 16, .segment_work = 128};
  CHECK(regions(w, map(7, 7), map(7, 7), by_sixteen).size() == 1, "7x7 where sixteen pixels take as long as one");
}

}  // namespace
}  // namespace tilewise::testing

int main() {
  tilewise::testing::test_all_windows();
  tilewise::testing::test_choices();
}
