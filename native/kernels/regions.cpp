#include "kernels/regions.h"

#include <algorithm>
#include <cstddef>

namespace tilewise {
namespace {

// Outputs first .. first + count - 1 of one axis, whose windows lie in the image from `begin` on, before
// `end`.
struct Span {
  std::int64_t first, count, begin, end;
};

std::vector<Span> spans(std::int64_t outputs, std::int64_t inputs, std::int64_t window, std::int64_t stride,
                        std::int64_t pad, std::int64_t dilation) {
  std::vector<Span> found;
  for (std::int64_t i = 0; i < outputs; ++i) {
    const auto inside = [&](std::int64_t k) {
      const std::int64_t at = i * stride - pad + k * dilation;
      return 0 <= at && at < inputs;
    };
    std::int64_t begin = 0, end = window;
    while (begin < window && !inside(begin)) ++begin;
    while (end > begin && !inside(end - 1)) --end;
    if (found.empty() || found.back().begin != begin || found.back().end != end)
      found.push_back({i, 0, begin, end});
    ++found.back().count;
  }
  return found;
}

}  // namespace

std::vector<Region> regions(const Window& window, const TensorRef& x, const TensorRef& y) {
  std::vector<Region> found;
  std::int64_t first = 0;
  for (const Span& rows :
       spans(y.height, x.height, window.height, window.stride_h, window.pad_top, window.dilation_h)) {
    for (const Span& cols :
         spans(y.width, x.width, window.width, window.stride_w, window.pad_left, window.dilation_w)) {
      Region region{rows.first, rows.count, cols.first, cols.count, first, {}, {}};
      for (std::int64_t i = 0; i < window.height; ++i) {
        for (std::int64_t j = 0; j < window.width; ++j) {
          const bool inside = rows.begin <= i && i < rows.end && cols.begin <= j && j < cols.end;
          (inside ? region.inside : region.outside)
              .push_back(static_cast<std::int32_t>(i * window.width + j));
        }
      }
      first += region.pixels();
      found.push_back(std::move(region));
    }
  }
  return found;
}

}  // namespace tilewise
