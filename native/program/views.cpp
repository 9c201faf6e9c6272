#include "program/views.h"

#include <cstddef>

#include "kernels/tensor.h"

namespace tilewise {
namespace {

// Pixels of a part must be whole vectors, and begin at one: then nothing beside them is written with them.
constexpr std::int64_t kVector = 16;

bool fits(const TensorType& part, const TensorType& whole, std::int64_t first) {
  const bool same = part.dtype == whole.dtype && (part.dtype == Dtype::kFloat32 || part.grid == whole.grid);
  return same && part.channels % kVector == 0 && first % kVector == 0;
}

}  // namespace

std::vector<View> views(const Program& program) {
  const auto tensors = program.tensors();
  std::vector<View> found;
  for (std::size_t i = 0; i < tensors.size(); ++i) found.push_back({static_cast<std::int64_t>(i), 0});
  const auto at = [&](std::int64_t tensor) -> View& { return found[static_cast<std::size_t>(tensor)]; };
  for (const auto& operation : program.operations()) {
    for (const Operation::Within& place : operation->within()) {
      const bool free = at(place.part).whole == place.part;
      if (free && fits(tensors[static_cast<std::size_t>(place.part)], tensors[static_cast<std::size_t>(place.whole)], place.first))
        at(place.part) = {place.whole, place.first};
    }
  }
  for (View& view : found) {
    for (View next = at(view.whole); next.whole != view.whole; next = at(view.whole))
      view = {next.whole, view.first + next.first};
  }
  return found;
}

}  // namespace tilewise
