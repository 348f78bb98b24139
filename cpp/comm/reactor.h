// The control thread's loop: descriptors, timers and posted work, one callback at a time. All
// methods but post() and stop() belong to the thread that runs it (or to nobody else before run()).
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <unordered_map>
#include <utility>
#include <vector>

#include "core/fd.h"

namespace distos_coll {

class Reactor {
 public:
  using Token = uint64_t;  // 0 is never used
  using Handler = std::function<void(uint32_t events)>;

  Reactor();

  // The descriptor stays the caller's, and must be unwatched before it is closed.
  Token watch(int fd, uint32_t events, Handler handler);
  void change(Token token, uint32_t events);
  // No callback for the token runs after this; allowed inside a callback. 0 is ignored.
  void unwatch(Token token);

  Token at(int64_t when_ns, std::function<void()> task);
  void cancel(Token token);

  // Any thread. False once the loop has been stopped: the task will not run.
  bool post(std::function<void()> task);
  void stop();

  void run();
  // The time of this turn of the loop.
  int64_t now() const { return now_; }

 private:
  struct Watch {
    int fd;
    uint32_t events;
    std::shared_ptr<Handler> handler;  // shared: a callback may unwatch itself
  };
  int timeout_ms() const;
  void run_posted();
  void run_timers();

  Fd epoll_;
  Fd wake_;
  int64_t now_;
  Token next_token_ = 1;
  std::unordered_map<Token, Watch> watches_;
  std::map<std::pair<int64_t, Token>, std::function<void()>> timers_;
  std::unordered_map<Token, int64_t> timer_times_;

  std::mutex mutex_;
  std::vector<std::function<void()>> posted_;  // guarded by mutex_
  bool stopped_ = false;                       // guarded by mutex_
};

}  // namespace distos_coll
