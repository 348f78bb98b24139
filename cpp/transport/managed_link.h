// What the runtime, but no communicator, may ask of a link.
#pragma once

#include "transport/link.h"

namespace distos_coll {

class ManagedLink : public Link {
 public:
  // Frames wait on this side, so that a sleeper must not sleep. Cheap and lock-free.
  virtual bool has_frames() const = 0;
  // Keeps those of its sockets that poll() would read in this epoll set, until unwatch(). Any
  // thread.
  virtual void watch(int epoll, uint64_t token) = 0;
  virtual void unwatch() = 0;
  // As poll() without a budget, waiting for a poller in progress; for a peer that is gone.
  virtual int drain(FrameSink& sink) = 0;
  // From here on try_send returns kPeerDied. What the peer sent stays readable.
  virtual void close_sending() = 0;
  // Pushes out what try_send accepted. True if closing now would lose nothing of it.
  virtual bool flushed() = 0;
  // Frames since the beginning: taken by try_send here, and handed to a sink here. Both ends count
  // the same frames, so that messages on other ways can say after which frame they were sent.
  virtual uint64_t accepted() const = 0;
  virtual uint64_t delivered() const = 0;
};

}  // namespace distos_coll
