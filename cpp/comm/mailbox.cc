#include "comm/mailbox.h"

#include <utility>

#include "core/log.h"

namespace distos_coll {
namespace {
// Messages for communicators that this process has not made yet.
constexpr size_t kMaxEarly = 4096;
constexpr size_t kMaxClosed = 16'384;
}  // namespace

void Mailbox::hand_over(CommEvents& events, Message message) {
  Fd fd = message.fds.empty() ? Fd() : std::move(message.fds.front());
  events.on_control(message.source, static_cast<ControlKind>(message.kind), message.payload,
                    std::move(fd));
}

void Mailbox::deliver(Message message) {
  if (active_.count(message.comm) != 0) {
    const TableHolder::Use table(table_);
    // Missing: it is being unregistered, and the word of it is on its way to this thread.
    if (CommEvents* events = table->find(message.comm)) hand_over(*events, std::move(message));
    return;
  }
  if (closed_.count(message.comm) != 0) return;
  if (early_.size() >= kMaxEarly) {
    log(LogLevel::kError,
        "%zu control messages wait for groups that this process has not created; dropping the "
        "oldest",
        early_.size());
    early_.pop_front();
  }
  early_.push_back(std::move(message));
}

void Mailbox::peer_ended(const std::shared_ptr<PeerImpl>& peer) {
  losses_.push_back({peer->card().uid, peer->state(), peer->why()});
  const Loss& loss = losses_.back();
  const TableHolder::Use table(table_);
  for (const auto& [id, events] : table->comms) {
    // The others hear of it when they are activated.
    if (active_.count(id) != 0) events->on_peer_lost(loss.uid, loss.state, loss.why);
  }
}

void Mailbox::activate(uint64_t comm) {
  closed_.erase(comm);
  const TableHolder::Use table(table_);
  CommEvents* events = table->find(comm);
  if (events == nullptr || !active_.insert(comm).second) return;
  std::deque<Message> others;
  for (Message& message : early_) {
    if (message.comm == comm) {
      hand_over(*events, std::move(message));
    } else {
      others.push_back(std::move(message));
    }
  }
  early_ = std::move(others);
  for (const Loss& loss : losses_) events->on_peer_lost(loss.uid, loss.state, loss.why);
}

void Mailbox::deactivate(uint64_t comm) {
  const TableHolder::Use table(table_);
  // Registered anew by now: its activation is the next word.
  if (active_.erase(comm) == 0 || table->find(comm) != nullptr) return;
  closed_.insert(comm);
  closed_order_.push_back(comm);
  if (closed_order_.size() <= kMaxClosed) return;
  closed_.erase(closed_order_.front());
  closed_order_.pop_front();
}

}  // namespace distos_coll
