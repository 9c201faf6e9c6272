#include "engine/memory.h"

#include <algorithm>
#include <new>
#include <numeric>
#include <sstream>
#include <string>
#include <utility>

#include "base/aligned.h"
#include "kernels/tensor.h"

namespace tilewise {
namespace {

class OutOfMemory : public std::bad_alloc {
 public:
  OutOfMemory(std::size_t bytes, const char* purpose) {
    std::ostringstream text;
    text << "no memory for the " << bytes << " bytes of " << purpose;
    text_ = std::move(text).str();
  }
  const char* what() const noexcept override { return text_.c_str(); }

 private:
  std::string text_;
};

std::int64_t aligned(std::int64_t bytes) {
  constexpr auto kMultiple = static_cast<std::int64_t>(kAlignment);
  return (bytes + kMultiple - 1) / kMultiple * kMultiple;
}

struct Place {
  std::int64_t begin, end;
};

// The start of the smallest gap of at least `bytes` between the places, which come in order, or the end of the last.
std::int64_t best_gap(std::span<const Place> taken, std::int64_t bytes) {
  std::int64_t end = 0, best = -1, smallest = 0;
  for (const Place& place : taken) {
    const std::int64_t gap = place.begin - end;
    if (gap >= bytes && (best < 0 || gap < smallest)) best = end, smallest = gap;
    end = std::max(end, place.end);
  }
  return best < 0 ? end : best;
}

}  // namespace

Memory::Memory(std::size_t bytes, const char* purpose)
    : block_(std::calloc(1, bytes + kAlignment + kSlack)), bytes_(bytes) {
  if (!block_) throw OutOfMemory(bytes, purpose);
  use_large_pages(block_.get(), bytes);
  const auto address = reinterpret_cast<std::uintptr_t>(block_.get());
  data_ = static_cast<std::byte*>(block_.get()) + (kAlignment - address % kAlignment) % kAlignment;
}

Arrangement arrange(std::span<const Lifetime> tensors) {
  std::vector<std::size_t> order(tensors.size());
  std::iota(order.begin(), order.end(), std::size_t{0});
  std::ranges::stable_sort(order, [&](std::size_t a, std::size_t b) {
    return std::pair(-tensors[a].bytes, tensors[a].first) < std::pair(-tensors[b].bytes, tensors[b].first);
  });
  Arrangement result{.offsets = std::vector<std::int64_t>(tensors.size(), 0)};
  std::vector<std::size_t> placed;
  std::vector<Place> taken;
  for (const std::size_t i : order) {
    taken.clear();
    for (const std::size_t j : placed) {
      if (tensors[j].meets(tensors[i])) taken.push_back({result.offsets[j], result.offsets[j] + aligned(tensors[j].bytes)});
    }
    std::ranges::sort(taken, {}, [](const Place& place) { return std::pair(place.begin, place.end); });
    result.offsets[i] = best_gap(taken, tensors[i].bytes);
    result.bytes = std::max(result.bytes, result.offsets[i] + aligned(tensors[i].bytes));
    placed.push_back(i);
  }
  return result;
}

}  // namespace tilewise
