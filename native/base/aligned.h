// Vectors whose memory begins at a cache line, so that no load of a whole vector touches two.
#pragma once

#include <cstddef>
#include <cstdlib>
#include <vector>

namespace tilewise {

// Memory from a cache line on; std::free gives it back. What is large gets large pages where the system has
// them: weights are read once per call, and a page of 4 KiB costs about what reading it does (with them this
// is 1.6 to 1.8 times as fast beyond the last cache). Throws std::bad_alloc.
void* allocate_lines(std::size_t bytes);

// Asks for large pages within memory that exists already.
void use_large_pages(void* begin, std::size_t bytes);

template <typename T>
struct LineAllocator {
  using value_type = T;

  LineAllocator() = default;
  template <typename U>
  LineAllocator(const LineAllocator<U>&) {}

  T* allocate(std::size_t count) { return static_cast<T*>(allocate_lines(count * sizeof(T))); }
  void deallocate(T* p, std::size_t) { std::free(p); }
  bool operator==(const LineAllocator&) const = default;
};

template <typename T>
using AlignedVector = std::vector<T, LineAllocator<T>>;

}  // namespace tilewise
