// Serves the control connections of established peers and decides who is alive. Control thread
// only.
//
// Evidence of an end: a readable pidfd (host), silence for six heartbeats (between hosts), the end
// of the control connection, a data link that broke. A goodbye read before the end makes it a
// departure, else it is a death. What the peer had sent before is delivered first.
//
// Control messages wait for the frames that were sent before them, since a group's close must not
// overtake its last data on another connection. Aborts do not wait.
#pragma once

#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "comm/peer.h"
#include "comm/reactor.h"

namespace distos_coll {

inline constexpr int kMissedHeartbeats = 6;

// Pure. `tick_gap_ns` is the time between the last two looks at the clock: after a stall of our own
// (a stopped or starved process) silence proves nothing, since it is we who did not listen.
bool silence_is_death(int64_t silent_ns, int64_t tick_gap_ns, int64_t heartbeat_ns);

class Liveness {
 public:
  struct Events {
    std::function<void(PeerImpl&, Message)> on_message;
    // Delivers what is left in the peer's link.
    std::function<void(PeerImpl&)> drain;
    std::function<void(const std::shared_ptr<PeerImpl>&)> on_ended;
  };

  Liveness(Reactor& reactor, int64_t heartbeat_ms, Events events);

  void add(const std::shared_ptr<PeerImpl>& peer, std::unique_ptr<ControlChannel> control,
           Fd pidfd);
  // Sends what is in the peer's outbox.
  void flush(const PeerUid& uid);
  // Its data link failed, as somebody who polled it noticed.
  void link_broken(const PeerUid& uid);

  void say_goodbye();
  // Nothing that was accepted would be lost by closing now.
  bool flushed();
  void close_all();

 private:
  struct Session {
    std::shared_ptr<PeerImpl> peer;
    std::unique_ptr<ControlChannel> control;
    Fd pidfd;
    Reactor::Token socket = 0, pid = 0, timer = 0;
    std::vector<Reactor::Token> data;  // of its link's sockets
    int64_t last_heard_ns = 0;
    uint64_t frames_heard = 0;  // as of the last look
    std::deque<Message> held;   // until the frames sent before them have been delivered
    Reactor::Token hold_timer = 0;
    bool goodbye = false;
    bool ending = false;
    PeerState end_state = PeerState::kAlive;
    std::string end_why;
    std::string last_words;  // the reason that the peer gave for giving us up
  };

  Session* find(const PeerUid& uid);
  void on_socket(const PeerUid& uid, uint32_t events);
  // False when the connection has ended.
  bool read(Session& session);
  void handle(Session& session, Message message);
  void deliver(Session& session, Message message);
  void release_held(Session& session);
  void pump(Session& session);
  void on_process_ended(const PeerUid& uid);
  void on_tick();
  void end(Session& session, const std::string& why);
  void wait_for_data(Session& session);
  void watch_data(Session& session);
  void finish(const PeerUid& uid);
  void unwatch(Session& session);

  Reactor& reactor_;
  const int64_t heartbeat_ns_;
  const Events events_;
  std::map<PeerUid, Session> sessions_;
  int64_t last_tick_ns_ = 0;
  Reactor::Token tick_ = 0;
};

}  // namespace distos_coll
