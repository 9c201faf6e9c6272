// Threads that share the pieces of one piece of work after another (fork and join), for operations that take
// microseconds.
#pragma once

#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <memory>
#include <mutex>
#include <thread>
#include <type_traits>
#include <vector>

namespace tilewise {

inline constexpr int kMaxThreads = 256;

class ThreadPool {
 public:
  // The caller of run() is one of the `threads`, 1..kMaxThreads; one thread starts no others.
  // Throws std::invalid_argument, or std::system_error if the system gives no more threads.
  explicit ThreadPool(int threads);
  ~ThreadPool();
  ThreadPool(const ThreadPool&) = delete;
  ThreadPool& operator=(const ThreadPool&) = delete;

  int threads() const { return threads_; }

  // In the child of a fork: its parent's threads are not there. The next run starts others.
  void forget_threads();

  // Calls function(begin, end, thread) for pieces that cover 0 .. tasks-1, each once, and returns when all
  // are done. thread is 0 .. threads-1, and no two calls at a time have the same. One run at a time. The
  // function must not throw. Allocates nothing.
  template <typename Function>
  void run(std::int64_t tasks, Function&& function) noexcept {
    using Plain = std::remove_reference_t<Function>;
    run_erased(
        Job{tasks, 1, &function, [](const void* context, std::int64_t begin, std::int64_t end, int thread) {
              (*const_cast<Plain*>(static_cast<const Plain*>(context)))(begin, end, thread);
            }});
  }

 private:
  struct Job {
    std::int64_t tasks = 0;
    std::int64_t piece = 1;  // tasks taken at a time
    const void* context = nullptr;
    void (*call)(const void* context, std::int64_t begin, std::int64_t end, int thread) = nullptr;
  };

  // What a thread that is gone may have left locked.
  struct Sleep {
    std::mutex mutex;
    std::condition_variable wake;
  };

  void start();
  void start_or_go_alone() noexcept;
  void run_erased(const Job& job) noexcept;
  void open() noexcept;
  void close() noexcept;
  void work(int thread) noexcept;
  void worker(int thread) noexcept;
  std::uint32_t next_gate(std::uint32_t seen) noexcept;
  void stop() noexcept;

  // gate_ says whether there is work, which (so that nobody does it twice), and how many workers are at it.
  // See thread_pool.cpp.
  std::atomic<std::uint32_t> gate_{0};
  std::atomic<std::int64_t> next_{0};  // first task that nobody has taken
  std::atomic<bool> stopping_{false};
  Job job_;
  int threads_;
  bool spins_;
  std::unique_ptr<Sleep> sleep_ = std::make_unique<Sleep>();
  std::vector<std::thread> workers_;
};

}  // namespace tilewise
