// Lets other Python threads run while native code works.
#pragma once

#include <Python.h>

#include <atomic>
#include <chrono>
#include <thread>

namespace tilewise {

// Python's lock is given up from construction to destruction.
//
// A thread that comes back when the interpreter ends may not take the lock any more: Python would end the thread by an
// exception that nothing here may let through, and the process would abort. Such a thread sleeps until the process ends.
class WithoutLock {
 public:
  WithoutLock() : state_(PyEval_SaveThread()) {}
  ~WithoutLock() {
    ++returning_;
    if (ending_ && std::this_thread::get_id() != last_) {
      --returning_;
      for (;;) std::this_thread::sleep_for(std::chrono::hours(1));
    }
    PyEval_RestoreThread(state_);
    --returning_;
  }
  WithoutLock(const WithoutLock&) = delete;
  WithoutLock& operator=(const WithoutLock&) = delete;

  // Is called when the interpreter begins to end, by the thread that ends it. Waits for those that are about to take the
  // lock.
  static void interpreter_ends() {
    last_ = std::this_thread::get_id();
    ending_ = true;
    PyThreadState* const state = PyEval_SaveThread();
    while (returning_ > 0) std::this_thread::yield();
    PyEval_RestoreThread(state);
  }

 private:
  PyThreadState* state_;
  inline static std::atomic<bool> ending_ = false;
  inline static std::atomic<int> returning_ = 0;
  inline static std::thread::id last_;  // written before ending_
};

}  // namespace tilewise
