#include "training/parallel.h"

#include <dlfcn.h>

#include <atomic>
#include <memory>

#include "engine/thread_pool.h"

namespace tilewise::training {
namespace {

struct Job {
  int shares;
  void (*call)(const void* context, int share);
  const void* context;
  std::atomic<int> next{0};
};

// A runtime may give fewer threads than were asked for: each takes shares until none is left.
void work(void* data) {
  Job& job = *static_cast<Job*>(data);
  for (int share = job.next++; share < job.shares; share = job.next++) job.call(job.context, share);
}

// What a compiler makes of `#pragma omp parallel`.
using Fork = void (*)(void (*function)(void*), void* data, unsigned threads, unsigned flags);

Fork loaded_runtime() {
  static const auto found = reinterpret_cast<Fork>(dlsym(RTLD_DEFAULT, "GOMP_parallel"));
  return found;
}

// One per calling thread, as the pool runs one job at a time.
ThreadPool& own_pool(int threads) {
  thread_local std::unique_ptr<ThreadPool> pool;
  if (pool == nullptr || pool->threads() != threads) pool = std::make_unique<ThreadPool>(threads);
  return *pool;
}

}  // namespace

void parallel_erased(int shares, void (*call)(const void* context, int share), const void* context) {
  if (shares == 1) return call(context, 0);
  Job job{shares, call, context};
  if (const Fork fork = loaded_runtime()) {
    fork(work, &job, static_cast<unsigned>(shares), 0);
  } else {
    own_pool(shares).run(shares, [&](std::int64_t begin, std::int64_t end, int) {
      for (; begin < end; ++begin) call(context, static_cast<int>(begin));
    });
  }
}

}  // namespace tilewise::training
