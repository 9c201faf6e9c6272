// What must know of fork(): a child process has a copy of the memory, but only the thread that forked.
#pragma once

#include <functional>
#include <list>

namespace tilewise {

// Calls `before` in the forking thread before every fork of the process, and `after` when that is done, in the parent and
// in the child. Where there is no fork() it does nothing.
class ForkWatch {
 public:
  ForkWatch(std::function<void()> before, std::function<void(bool in_child)> after);
  ~ForkWatch();
  ForkWatch(const ForkWatch&) = delete;
  ForkWatch& operator=(const ForkWatch&) = delete;

 private:
  friend struct ForkWatches;

  std::function<void()> before_;
  std::function<void(bool in_child)> after_;
  std::list<ForkWatch*>::iterator place_;
};

}  // namespace tilewise
