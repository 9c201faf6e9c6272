// Grouped convolutions as products of slices of channels: a slice is one group, or as many as have whole vectors of
// output channels.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <vector>

namespace tilewise {

struct Slices {
  std::int64_t count = 1, together = 1;      // slices, and groups in each
  std::int64_t filters = 0, channels = 0;    // of a slice
};

inline Slices slices_of(std::int64_t groups, std::int64_t filters, std::int64_t channels) {
  std::int64_t together = 1;
  while (together < groups && (groups % together != 0 || together * (filters / groups) % 16 != 0)) ++together;
  const std::int64_t count = groups / together;
  return {count, together, filters / count, channels / count};
}

// The weights of a slice of several groups, [filters][segments][channels of a group], as those of one group: zero between
// the inputs of one and the outputs of another.
template <typename Weight>
std::vector<Weight> dense(const Slices& slices, const Weight* from, std::int64_t segments) {
  const std::int64_t channels = slices.channels / slices.together, filters = slices.filters / slices.together;
  std::vector<Weight> all(static_cast<std::size_t>(slices.filters * segments * slices.channels));
  auto to = all.begin();
  for (std::int64_t filter = 0; filter < slices.filters; ++filter) {
    for (std::int64_t segment = 0; segment < segments; ++segment, from += channels, to += slices.channels)
      std::copy_n(from, channels, to + filter / filters * channels);
  }
  return all;
}

}  // namespace tilewise
