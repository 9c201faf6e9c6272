#include "engine/thread_pool.h"

#include <algorithm>
#include <chrono>
#include <utility>

#include "base/check.h"

namespace tilewise {
namespace {

// The gate, from its lowest bits: workers inside (9 bits), open (1 bit), number of the job (22 bits).
//
// run() writes job_ and opens the gate (release); a worker enters by counting itself in (acquire: it sees
// job_), takes tasks until none is left, and counts itself out (release). run() works too, closes the gate,
// and waits until nobody is inside (acquire: it sees what the workers wrote). A worker that the system has
// not woken in time finds the gate closed and is not waited for, so more threads than cores cost little. Only
// run() opens and closes, so job_ is never written while anybody reads it.
//
// The number wraps after 4 million jobs. A worker that slept through exactly that many misses one more; the
// others do its share.
constexpr std::uint32_t kInside = (1u << 9) - 1;
constexpr std::uint32_t kOpen = 1u << 9;
constexpr std::uint32_t kJob = 1u << 10;
static_assert(kMaxThreads <= static_cast<int>(kInside));

// Between the operations of a network the workers spin: waking a thread takes longer than many operations do.
constexpr std::chrono::microseconds kSpin{50};
constexpr int kPausesPerLook = 32;
constexpr int kLooksBeforeYield = 1000;
// A few pieces per thread: one that starts late or is disturbed leaves its share to the others.
constexpr std::int64_t kPiecesPerThread = 8;

void pause() {
#if defined(__x86_64__) || defined(__i386__)
  __builtin_ia32_pause();
#elif defined(__aarch64__)
  asm volatile("yield");
#endif
}

bool is_new(std::uint32_t gate, std::uint32_t seen) { return (gate & kOpen) && gate / kJob != seen / kJob; }

}  // namespace

ThreadPool::ThreadPool(int threads)
    : threads_(threads), spins_(threads <= static_cast<int>(std::max(1u, std::thread::hardware_concurrency()))) {
  if (threads < 1 || threads > kMaxThreads) refuse("threads is ", threads, ", must be 1..", kMaxThreads);
  start();
}

void ThreadPool::start() {
  workers_.reserve(static_cast<std::size_t>(threads_ - 1));
  try {
    for (int thread = 1; thread < threads_; ++thread) workers_.emplace_back(&ThreadPool::worker, this, thread);
  } catch (...) {
    stop();
    throw;
  }
}

void ThreadPool::forget_threads() {
  // Kept for ever, in a list for tools that look for leaks: to destroy a thread that is not there, or a lock that it
  // holds, is not allowed, and joining it would wait for ever. (The child of a fork has one thread: it needs no lock.)
  static auto& forgotten = *new std::vector<std::pair<std::vector<std::thread>, std::unique_ptr<Sleep>>>;
  forgotten.emplace_back(std::move(workers_), std::move(sleep_));
  workers_.clear();
  sleep_ = std::make_unique<Sleep>();
  gate_.fetch_and(~(kInside | kOpen), std::memory_order_relaxed);
}

ThreadPool::~ThreadPool() { stop(); }

void ThreadPool::stop() noexcept {
  {
    const std::lock_guard lock(sleep_->mutex);
    stopping_.store(true, std::memory_order_relaxed);
  }
  sleep_->wake.notify_all();
  for (std::thread& worker : workers_) worker.join();
  workers_.clear();
}

void ThreadPool::run_erased(const Job& job) noexcept {
  if (job.tasks <= 0) return;
  if (threads_ == 1 || job.tasks == 1) {
    job.call(job.context, 0, job.tasks, 0);
    return;
  }
  if (workers_.empty()) start_or_go_alone();
  job_ = job;
  job_.piece = std::max<std::int64_t>(1, job.tasks / (threads() * kPiecesPerThread));
  next_.store(0, std::memory_order_relaxed);
  open();
  work(0);
  close();
}

// After a fork. A system that gives no threads makes the run slower, not impossible.
void ThreadPool::start_or_go_alone() noexcept {
  try {
    start();
  } catch (...) {
    stopping_.store(false, std::memory_order_relaxed);
  }
}

void ThreadPool::open() noexcept {
  {
    // Under the lock, so that a worker can not miss it between its last look and falling asleep.
    const std::lock_guard lock(sleep_->mutex);
    const std::uint32_t number = gate_.load(std::memory_order_relaxed) / kJob + 1;
    gate_.store(number * kJob + kOpen, std::memory_order_release);
  }
  sleep_->wake.notify_all();
}

void ThreadPool::close() noexcept {
  std::uint32_t gate = gate_.fetch_and(~kOpen, std::memory_order_acq_rel);
  for (int look = 0; gate & kInside; ++look) {
    // They are at their last piece; but with more threads than cores they may need this one's core for it.
    if (spins_ && look < kLooksBeforeYield) {
      pause();
    } else {
      std::this_thread::yield();
    }
    gate = gate_.load(std::memory_order_acquire);
  }
}

void ThreadPool::work(int thread) noexcept {
  const Job& job = job_;
  for (;;) {
    const std::int64_t begin = next_.fetch_add(job.piece, std::memory_order_relaxed);
    if (begin >= job.tasks) return;
    job.call(job.context, begin, std::min(begin + job.piece, job.tasks), thread);
  }
}

void ThreadPool::worker(int thread) noexcept {
  std::uint32_t seen = 0;
  for (;;) {
    std::uint32_t gate = next_gate(seen);
    if (stopping_.load(std::memory_order_relaxed)) return;
    while (is_new(gate, seen) && !gate_.compare_exchange_weak(gate, gate + 1, std::memory_order_acq_rel,
                                                              std::memory_order_acquire)) {
    }
    if (!is_new(gate, seen)) continue;
    seen = gate;
    work(thread);
    gate_.fetch_sub(1, std::memory_order_release);
  }
}

// Waits for a job other than `seen`, or for the end: spinning for a while, then asleep.
std::uint32_t ThreadPool::next_gate(std::uint32_t seen) noexcept {
  const auto ready = [&] {
    return stopping_.load(std::memory_order_relaxed) || is_new(gate_.load(std::memory_order_acquire), seen);
  };
  if (spins_) {
    const auto end = std::chrono::steady_clock::now() + kSpin;
    do {
      for (int i = 0; i < kPausesPerLook; ++i) {
        if (ready()) return gate_.load(std::memory_order_acquire);
        pause();
      }
    } while (std::chrono::steady_clock::now() < end);
  }
  std::unique_lock lock(sleep_->mutex);
  sleep_->wake.wait(lock, ready);
  return gate_.load(std::memory_order_acquire);
}

}  // namespace tilewise
