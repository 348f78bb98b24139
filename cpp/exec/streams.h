// What a run asks of the message links: ordered streams of bytes per (peer, lane). Implemented by
// comm/inbox.h; tests implement it in memory.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>

#include "core/signature.h"
#include "reduce/reduce.h"

namespace distos_coll::exec {

// Where the next bytes of a stream go. Owned by the run, linked into the stream's queue until
// `done`.
struct Sink {
  std::byte* dst = nullptr;
  const std::byte* src = nullptr;  // not null: dst = src op incoming
  size_t bytes = 0;
  size_t element_bytes = 1;
  reduce::ReduceFn reduce = nullptr;
  Signature signature;

  size_t received = 0;
  std::atomic<bool> done{false};
  Code code = Code::kOk;  // valid when done
  Signature other;        // what the peer called, if code is kMismatch
  Sink* next = nullptr;
};

class Streams {
 public:
  virtual ~Streams() = default;
  // Hands over as many of `bytes` as credit and link allow; *sent says how many (may be 0). `total`
  // is the length of the whole transfer, which the receiver's sink must have, too.
  virtual Code send(int peer, int lane, Signature signature, size_t total, const std::byte* data,
                    size_t bytes, size_t* sent) = 0;
  // Appends a sink; the streams' owner fills it, in order, from whatever thread polls the links.
  virtual void post(int peer, int lane, Sink* sink) = 0;
  // Takes back what is posted; after the call no sink of this run is touched.
  virtual void cancel(int peer, int lane) = 0;
};

}  // namespace distos_coll::exec
