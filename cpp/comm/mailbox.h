// Control messages and losses on their way to communicators: kept for those that have not
// registered yet, in order, and dropped for those that have gone. Control thread only.
#pragma once

#include <cstdint>
#include <deque>
#include <memory>
#include <unordered_set>
#include <vector>

#include "comm/peer.h"
#include "comm/table.h"

namespace distos_coll {

class Mailbox {
 public:
  explicit Mailbox(TableHolder& table) : table_(table) {}

  void deliver(Message message);
  void peer_ended(const std::shared_ptr<PeerImpl>& peer);
  // The communicator is in the table: hands it what came before.
  void activate(uint64_t comm);
  // It is in the table no more.
  void deactivate(uint64_t comm);

 private:
  struct Loss {
    PeerUid uid;
    PeerState state;
    std::string why;
  };
  static void hand_over(CommEvents& events, Message message);

  TableHolder& table_;
  std::unordered_set<uint64_t> active_;
  // The newest only: what still comes for older ones is among the oldest of early_ and dropped.
  std::unordered_set<uint64_t> closed_;
  std::deque<uint64_t> closed_order_;
  std::deque<Message> early_;
  std::vector<Loss> losses_;
};

}  // namespace distos_coll
