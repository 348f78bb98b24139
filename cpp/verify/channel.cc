#include "verify/channel.h"

#include <algorithm>
#include <string>

namespace distos_coll::verify {
namespace {

void receive(Algebra& algebra, const Recv& recv, const Elements& elements) {
  const Elements* result = &elements;
  Elements reduced;
  if (recv.reduces) {
    const auto n = static_cast<int64_t>(elements.size());
    const Elements own = take(recv.src.view.backing->data, recv.src.start() + recv.done, n);
    reduced = algebra.reduce({own, elements});
    result = &reduced;
  }
  write(*recv.dst.view.backing, recv.dst.start() + recv.done, *result, *recv.observer);
}

}  // namespace

void learn(Knowledge& own, const Knowledge& other) {
  for (size_t i = 0; i < other.size(); ++i) own[i] |= other[i];
}

void Channel::post(Algebra& algebra, const Send& send) {
  sends_.push(send);
  match(true, send.length, send.place);
  pump(algebra);
}

void Channel::post(Algebra& algebra, const Recv& recv) {
  recvs_.push(recv);
  match(false, recv.length, recv.place);
  pump(algebra);
}

void Channel::match(bool sends, int64_t length, const Place& place) {
  if (unmatched_.empty() || unmatched_sends_ == sends) {
    unmatched_sends_ = sends;
    unmatched_.push({length, place});
    return;
  }
  const Posted other = unmatched_.front();
  unmatched_.pop();
  if (other.length == length) return;
  throw Fault({"has length " + std::to_string(length) + ", but its other side, ", other.place,
               ", has " + std::to_string(other.length)});
}

void Channel::pump(Algebra& algebra) {
  while (deliver(algebra) || accept()) {
  }
}

// Moves what is under way into the oldest receive.
bool Channel::deliver(Algebra& algebra) {
  if (recvs_.empty() || under_way_.empty()) return false;
  Recv& recv = recvs_.front();
  Message& message = under_way_.front();
  const size_t left = message.elements.size() - message.taken;
  const size_t n = std::min(left, static_cast<size_t>(recv.length - recv.done));
  learn(*recv.knowledge, message.knowledge);
  try {
    if (n == message.elements.size()) {
      receive(algebra, recv, message.elements);
    } else {
      const auto first = message.elements.begin() + static_cast<ptrdiff_t>(message.taken);
      receive(algebra, recv, Elements(first, first + static_cast<ptrdiff_t>(n)));
    }
  } catch (Fault& fault) {
    fault.put_at(recv.place);
    throw;
  }
  message.taken += n;
  if (n == left) under_way_.pop();
  n_under_way_ -= static_cast<int64_t>(n);
  recv.done += static_cast<int64_t>(n);
  if (recv.done == recv.length) {
    release(*recv.dst.view.backing, recv.dst_use);
    if (recv.reduces && !recv.same_place) release(*recv.src.view.backing, recv.src_use);
    --*recv.unfinished;
    recvs_.pop();
  }
  return true;
}

// Takes from the oldest send what credit, or a receiver that is waiting, allows.
bool Channel::accept() {
  if (sends_.empty()) return false;
  Send& send = sends_.front();
  const int64_t waiting = recvs_.empty() ? 0 : recvs_.front().length - recvs_.front().done;
  const int64_t n = std::min(send.length - send.done, std::max(credit_, waiting) - n_under_way_);
  if (n <= 0) return false;
  Message message;
  try {
    message.elements = take(send.part.view.backing->data, send.part.start() + send.done, n);
  } catch (Fault& fault) {
    fault.put_at(send.place);
    throw;
  }
  message.knowledge = *send.knowledge;
  under_way_.push(std::move(message));
  n_under_way_ += n;
  send.done += n;
  if (send.done == send.length) {
    release(*send.part.view.backing, send.use);
    --*send.unfinished;
    sends_.pop();
  }
  return true;
}

void Channel::check_left_over() const {
  if (unmatched_.empty()) return;
  throw Fault({unmatched_.back().place, ": nothing matches it on the stream from " +
                                            std::to_string(source) + " to " + std::to_string(to) +
                                            ", lane " + std::to_string(lane)});
}

}  // namespace distos_coll::verify
