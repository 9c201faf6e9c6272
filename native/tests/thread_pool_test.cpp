// Every task runs once, on one thread at a time, for all sorts of counts, pauses and numbers of threads.
#include "engine/thread_pool.h"

#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <cstdint>
#include <cstdlib>
#include <iostream>
#include <memory>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include "tests/check.h"

namespace tilewise::testing {
namespace {

// Plain integers, so that the thread sanitizer sees whether results reach the caller in order.
void run_and_check(ThreadPool& pool, std::int64_t tasks, const std::string& text) {
  std::vector<int> done(static_cast<std::size_t>(tasks), 0);
  std::vector<std::atomic<int>> inside(static_cast<std::size_t>(pool.threads()));
  std::atomic<bool> good = true;
  pool.run(tasks, [&](std::int64_t begin, std::int64_t end, int thread) {
    if (thread < 0 || thread >= pool.threads() || begin >= end) {
      good = false;
      return;
    }
    if (inside[static_cast<std::size_t>(thread)].fetch_add(1) != 0) good = false;
    for (std::int64_t task = begin; task < end; ++task) ++done[static_cast<std::size_t>(task)];
    inside[static_cast<std::size_t>(thread)].fetch_sub(1);
  });
  for (const int times : done) CHECK(times == 1, text);
  CHECK(good, text);
}

void test_counts() {
  for (const int threads : {1, 2, 3, 8, 32}) {
    ThreadPool pool(threads);
    CHECK(pool.threads() == threads, "threads");
    for (const std::int64_t tasks : {0, 1, 2, 3, 7, 31, 32, 33, 1000}) {
      for (int repeat = 0; repeat < 20; ++repeat) {
        run_and_check(pool, tasks,
                      std::to_string(tasks) + " tasks on " + std::to_string(threads) + " threads");
      }
    }
  }
}

void test_after_sleep() {
  ThreadPool pool(4);
  for (int repeat = 0; repeat < 50; ++repeat) {
    std::this_thread::sleep_for(std::chrono::microseconds(repeat % 5 * 60));  // around the time they spin for
    run_and_check(pool, 64, "after a pause");
  }
}

// Threads do take part: tasks that wait for each other end only if there are two of them.
void test_runs_at_once() {
  ThreadPool pool(2);
  std::atomic<int> arrived = 0;
  pool.run(2, [&](std::int64_t, std::int64_t, int) {
    arrived.fetch_add(1);
    while (arrived.load() < 2) std::this_thread::yield();
  });
  CHECK(arrived == 2, "two threads");
}

void test_many_pools() {
  std::vector<std::thread> callers;
  for (int caller = 0; caller < 4; ++caller) {
    callers.emplace_back([] {
      ThreadPool pool(3);
      for (int repeat = 0; repeat < 200; ++repeat) run_and_check(pool, 40, "several pools");
    });
  }
  for (std::thread& caller : callers) caller.join();
}

void test_short_lives() {
  for (int repeat = 0; repeat < 100; ++repeat) {
    ThreadPool pool(3);
    if (repeat % 2) run_and_check(pool, 5, "a short life");
  }
}

// The child of a fork has none of its parent's threads.
void test_forgotten_threads() {
  ThreadPool pool(3);
  run_and_check(pool, 40, "before");
  const pid_t child = fork();
  if (child == 0) {
    pool.forget_threads();
    for (int repeat = 0; repeat < 20; ++repeat) run_and_check(pool, 40, "after the threads were forgotten");
    pool.forget_threads();
    std::_Exit(0);
  }
  int status = -1;
  CHECK(waitpid(child, &status, 0) == child && status == 0, "the child ended with " + std::to_string(status));
  run_and_check(pool, 40, "after the child");
}

void test_refusals() {
  for (const int threads : {-1, 0, kMaxThreads + 1}) {
    CHECK(throws<std::invalid_argument>([&] { ThreadPool pool(threads); }, "must be 1..256"),
          std::to_string(threads));
  }
}

}  // namespace
}  // namespace tilewise::testing

int main() {
  using namespace tilewise::testing;
  test_counts();
  test_after_sleep();
  test_runs_at_once();
  test_many_pools();
  test_short_lives();
  test_forgotten_threads();
  test_refusals();
  std::cout << "thread_pool: passed\n";
}
