// Run: what programs do in registered memory.
#include <algorithm>
#include <cstring>

#include "exec/run.h"

namespace distos_coll::exec {

using program::Buffer;
using program::Instruction;

// Where a member's memory is here; null if it has less.
std::byte* Run::registered_at(int member, Buffer buffer, size_t offset, size_t bytes) const {
  const RegisteredBuffers& of = call_.registered[static_cast<size_t>(member)];
  const auto which = static_cast<size_t>(buffer);
  if (bytes > of.bytes[which] || offset > of.bytes[which] - bytes) return nullptr;
  return of.data[which] + offset;
}

Run::Step Run::reduce_to_all(const Instruction& instruction) {
  const int64_t length = value(instruction.arg[2]);
  if (length <= 0) return Step::kNext;
  if (const Step ready = all_ready(); ready != Step::kNext) return ready;
  // Pieces small enough that all that belongs to one is in the cache when it goes to the others.
  constexpr size_t kPieceBytes = 16 * 1024;
  const int64_t in_offset = value(instruction.arg[0]), out_offset = value(instruction.arg[1]);
  if (in_offset < 0 || out_offset < 0 || call_.registered.empty()) return fail(Code::kInternal);
  const auto local_rank =
      static_cast<int>(call_.environment.params[static_cast<int>(program::Param::kLocalRank)]);
  const size_t total = static_cast<size_t>(length) * element_bytes_;
  const size_t in = static_cast<size_t>(in_offset) * element_bytes_;
  const size_t out = static_cast<size_t>(out_offset) * element_bytes_;
  for (size_t done = 0; done < total; done += kPieceBytes) {
    const size_t bytes = std::min(kPieceBytes, total - done);
    sources_.clear();
    for (int member = 0; member < window_->size(); ++member) {
      sources_.push_back(registered_at(member, Buffer::kInput, in + done, bytes));
      if (sources_.back() == nullptr) return fail(Code::kInternal);
    }
    std::byte* const own = registered_at(local_rank, Buffer::kOutput, out + done, bytes);
    if (own == nullptr) return fail(Code::kInternal);
    reduce_fn()(own, sources_.data(), sources_.size(), bytes / element_bytes_, call_.divisor);
    for (int member = 0; member < window_->size(); ++member) {
      if (member == local_rank) continue;
      std::byte* const theirs = registered_at(member, Buffer::kOutput, out + done, bytes);
      if (theirs == nullptr) return fail(Code::kInternal);
      std::memcpy(theirs, own, bytes);
    }
  }
  return Step::kNext;
}

}  // namespace distos_coll::exec
