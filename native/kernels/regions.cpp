#include "kernels/regions.h"

#include <algorithm>
#include <cstddef>

namespace tilewise {
namespace {

struct Range {
  std::int64_t begin, end;

  bool has(std::int64_t i) const { return begin <= i && i < end; }
};

// Outputs first .. first + count - 1 of one axis: the part of the window within the image for some of them,
// and for all.
struct Span {
  std::int64_t first, count;
  Range some, all;
};

struct Axis {
  std::int64_t outputs, inputs, window, stride, pad, dilation;

  Range inside(std::int64_t output) const {
    const auto has = [&](std::int64_t k) {
      const std::int64_t at = output * stride - pad + k * dilation;
      return 0 <= at && at < inputs;
    };
    Range range{0, window};
    while (range.begin < window && !has(range.begin)) ++range.begin;
    while (range.end > range.begin && !has(range.end - 1)) --range.end;
    return range;
  }
};

// Outputs with the same part of the window together.
std::vector<Span> cut(const Axis& axis) {
  std::vector<Span> found;
  for (std::int64_t i = 0; i < axis.outputs; ++i) {
    const Range range = axis.inside(i);
    if (found.empty() || found.back().all.begin != range.begin || found.back().all.end != range.end)
      found.push_back({i, 0, range, range});
    ++found.back().count;
  }
  return found;
}

// All outputs together.
std::vector<Span> whole(const Axis& axis) {
  Span span{0, axis.outputs, {axis.window, 0}, {0, axis.window}};
  for (std::int64_t i = 0; i < axis.outputs; ++i) {
    const Range range = axis.inside(i);
    span.some = {std::min(span.some.begin, range.begin), std::max(span.some.end, range.end)};
    span.all = {std::max(span.all.begin, range.begin), std::min(span.all.end, range.end)};
  }
  return {span};
}

Region region(const Window& window, const Span& rows, const Span& cols, const RegionRules& rules) {
  Region made{rows.first, rows.count, cols.first, cols.count, 0, {}, {}, {}, {}};
  for (std::int64_t i = 0; i < window.height; ++i) {
    bool joins = false;
    for (std::int64_t j = 0; j < window.width; ++j) {
      const Stretch segment{static_cast<std::int32_t>(i * window.width + j), 1};
      const bool inside = rows.all.has(i) && cols.all.has(j);
      const bool mixed = !inside && rows.some.has(i) && cols.some.has(j);
      if (!inside && !mixed && rules.skips) continue;
      if (inside && joins) {
        ++made.inside.back().count, ++made.stretches.back().count;
      } else {
        (inside ? made.inside : mixed ? made.mixed : made.outside).push_back(segment);
        made.stretches.push_back(segment);
      }
      joins = inside && rules.joined;
    }
  }
  return made;
}

std::vector<Region> combined(const Window& window, const std::vector<Span>& rows,
                             const std::vector<Span>& cols, const RegionRules& rules) {
  std::vector<Region> found;
  std::int64_t first = 0;
  for (const Span& row : rows) {
    for (const Span& col : cols) {
      found.push_back(region(window, row, col, rules));
      found.back().first = first;
      first += found.back().pixels();
    }
  }
  return found;
}

// In instructions.
double work(const std::vector<Region>& regions, const RegionRules& rules) {
  constexpr double kPointer = 4;
  double sum = 0;
  for (const Region& region : regions) {
    std::int64_t segments = 0;
    for (const Stretch& stretch : region.stretches) segments += stretch.count;
    const auto pixels = static_cast<double>(region.pixels());
    const auto calls = static_cast<double>((region.pixels() + rules.together - 1) / rules.together);
    sum += static_cast<double>(segments * rules.segment_work) * std::max(pixels, rules.fewest * calls) +
           static_cast<double>(region.stretches.size()) * kPointer * pixels;
  }
  return sum;
}

}  // namespace

std::vector<Region> regions(const Window& window, const TensorRef& x, const TensorRef& y,
                            const RegionRules& rules) {
  const Axis rows{y.height, x.height, window.height, window.stride_h, window.pad_top, window.dilation_h};
  const Axis cols{y.width, x.width, window.width, window.stride_w, window.pad_left, window.dilation_w};
  std::vector<Region> best = combined(window, cut(rows), cut(cols), rules);
  if (!rules.mixes) return best;
  for (const auto& row_spans : {cut(rows), whole(rows)}) {
    std::vector<Region> other = combined(window, row_spans, whole(cols), rules);
    if (work(other, rules) < work(best, rules)) best = std::move(other);
  }
  return best;
}

}  // namespace tilewise
