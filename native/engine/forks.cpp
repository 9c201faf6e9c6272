#include "engine/forks.h"

#include <mutex>
#include <utility>

#if defined(__unix__) || defined(__APPLE__)
#include <pthread.h>
#define TILEWISE_FORKS
#endif

namespace tilewise {

struct ForkWatches {
  std::mutex mutex;
  std::list<ForkWatch*> all;

  // Never destroyed: a process may fork while it ends.
  static ForkWatches& here() {
    static auto* const watches = new ForkWatches;
    return *watches;
  }

  // The lock is held from before the fork until after it, so that nobody comes or goes meanwhile.
  static void before() {
    here().mutex.lock();
    for (ForkWatch* const watch : here().all) watch->before_();
  }
  static void after(bool in_child) {
    for (ForkWatch* const watch : here().all) watch->after_(in_child);
    here().mutex.unlock();
  }

 private:
  ForkWatches() {
#ifdef TILEWISE_FORKS
    pthread_atfork(&before, [] { after(false); }, [] { after(true); });
#endif
  }
};

ForkWatch::ForkWatch(std::function<void()> before, std::function<void(bool in_child)> after)
    : before_(std::move(before)), after_(std::move(after)) {
  ForkWatches& watches = ForkWatches::here();
  const std::lock_guard lock(watches.mutex);
  place_ = watches.all.insert(watches.all.end(), this);
}

ForkWatch::~ForkWatch() {
  ForkWatches& watches = ForkWatches::here();
  const std::lock_guard lock(watches.mutex);
  watches.all.erase(place_);
}

}  // namespace tilewise
