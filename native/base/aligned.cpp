// What asks the operating system for memory.
#include "base/aligned.h"

#ifndef _WIN32
#include <sys/mman.h>
#include <unistd.h>
#endif

#include <cstdint>
#include <cstdlib>
#include <new>

namespace tilewise {
#ifdef _WIN32
// What std::free gives back begins at multiples of 16 there, which is all that vectors of 16 bytes need.
void* allocate_lines(std::size_t bytes) {
  void* const found = std::malloc(bytes);
  if (found == nullptr) throw std::bad_alloc();
  return found;
}

void use_large_pages(void*, std::size_t) {}
#else
void* allocate_lines(std::size_t bytes) {
  constexpr std::size_t kLine = 64, kLargePage = std::size_t{2} << 20;
  const bool large = bytes >= kLargePage;
  void* found = nullptr;
  if (posix_memalign(&found, large ? kLargePage : kLine, bytes) != 0) throw std::bad_alloc();
  if (large) use_large_pages(found, bytes);
  return found;
}

void use_large_pages(void* begin, std::size_t bytes) {
#ifdef MADV_HUGEPAGE
  const auto page = static_cast<std::uintptr_t>(sysconf(_SC_PAGESIZE));
  const auto first = (reinterpret_cast<std::uintptr_t>(begin) + page - 1) / page * page;
  const auto end = (reinterpret_cast<std::uintptr_t>(begin) + bytes) / page * page;
  // Advice: where the system has no such pages, nothing changes.
  if (end > first) (void)madvise(reinterpret_cast<void*>(first), end - first, MADV_HUGEPAGE);
#else
  (void)begin, (void)bytes;
#endif
}
#endif

}  // namespace tilewise
