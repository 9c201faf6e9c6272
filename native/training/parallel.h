// Threads for training. torch keeps OpenMP threads that wait actively between its operations; threads of our
// own would have to take turns with them on the same cores. So where torch's OpenMP runtime is loaded, its
// threads are used.
#pragma once

#include <cstdint>
#include <type_traits>

namespace tilewise::training {

void parallel_erased(int shares, void (*call)(const void* context, int share), const void* context);

// Calls function(share) once for each share 0 .. shares-1, on as many threads, and returns when all are done.
template <typename Function>
void parallel(int shares, const Function& function) {
  parallel_erased(
      shares, [](const void* context, int share) { (*static_cast<const Function*>(context))(share); },
      &function);
}

// Share `share` of 0 .. count-1: begin .. end.
struct Part {
  std::int64_t begin, end;
};
constexpr Part part_of(std::int64_t count, int share, int shares) {
  return {count * share / shares, count * (share + 1) / shares};
}

}  // namespace tilewise::training
