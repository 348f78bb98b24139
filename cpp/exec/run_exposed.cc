// Run: reductions in memory that others expose, private or registered.
#include <algorithm>
#include <cstring>

#include "exec/run.h"

namespace distos_coll::exec {

using program::Buffer;
using program::Instruction;

Run::Step Run::reduce_exposed(const Instruction& instruction, int64_t remote_offset,
                              int64_t length) {
  // Pieces small enough that what is read stays in the second-level cache until it is reduced.
  constexpr size_t kPieceBytes = 64 * 1024;
  std::byte* dst = at(instruction.arg[1], value(instruction.arg[2]), length);
  const std::byte* own = at(instruction.arg[3], value(instruction.arg[4]), length);
  if (dst == nullptr || own == nullptr) return fail(Code::kInternal);
  const auto local_rank = call_.environment.params[static_cast<int>(program::Param::kLocalRank)];
  const bool registered = !call_.registered.empty();
  if (!registered) bounce_.resize(static_cast<size_t>(window_->size()) * kPieceBytes);
  const size_t total = static_cast<size_t>(length) * element_bytes_;
  const size_t remote = static_cast<size_t>(remote_offset) * element_bytes_;
  for (size_t done = 0; done < total; done += kPieceBytes) {
    const size_t bytes = std::min(kPieceBytes, total - done);
    sources_.clear();
    for (int member = 0; member < window_->size(); ++member) {
      if (member == local_rank) {
        sources_.push_back(own + done);
        continue;
      }
      if (registered) {
        sources_.push_back(registered_at(member, program::Buffer::kInput, remote + done, bytes));
        if (sources_.back() == nullptr) return Step::kFailed;
        continue;
      }
      std::byte* piece = bounce_.data() + static_cast<size_t>(member) * kPieceBytes;
      const Code code = window_->read(member, remote + done, piece, bytes);
      if (code != Code::kOk) return fail(code, domain_ranks_[static_cast<size_t>(member)]);
      sources_.push_back(piece);
    }
    reduce_fn()(dst + done, sources_.data(), sources_.size(), bytes / element_bytes_,
                instruction.arg[6] != 0 ? call_.divisor : 1);
  }
  return Step::kNext;
}

// Where a member's memory is here; null, and the run has failed, if it is not.
std::byte* Run::registered_at(int member, Buffer buffer, size_t offset, size_t bytes) {
  const RegisteredBuffers& of = call_.registered[static_cast<size_t>(member)];
  const auto which = static_cast<size_t>(buffer);
  if (!of.gone && bytes <= of.bytes[which] && offset <= of.bytes[which] - bytes)
    return of.data[which] + offset;
  if (of.gone) {
    fail(Code::kPeerDied, domain_ranks_[static_cast<size_t>(member)]);
  } else {
    fail(Code::kInternal);
  }
  return nullptr;
}

Run::Step Run::reduce_to_all(const Instruction& instruction) {
  const int64_t length = value(instruction.arg[2]);
  if (length <= 0) return Step::kNext;
  if (const Step ready = all_ready(); ready != Step::kNext) return ready;
  const int64_t in = value(instruction.arg[0]), out = value(instruction.arg[1]);
  if (in < 0 || out < 0 || call_.registered.empty()) return fail(Code::kInternal);
  const size_t total = static_cast<size_t>(length) * element_bytes_;
  const int n = window_->size();
  const auto own =
      static_cast<int>(call_.environment.params[static_cast<int>(program::Param::kLocalRank)]);
  sources_.clear();
  targets_.clear();
  for (int i = 0; i < n; ++i) {
    sources_.push_back(
        registered_at(i, Buffer::kInput, static_cast<size_t>(in) * element_bytes_, total));
    // From this rank on, so that all do not write to the same one at once.
    targets_.push_back(registered_at((own + i) % n, Buffer::kOutput,
                                     static_cast<size_t>(out) * element_bytes_, total));
    if (sources_.back() == nullptr || targets_.back() == nullptr) return Step::kFailed;
  }
  const auto reduce =
      reduce::kernels().reduce_to_two[static_cast<int>(call_.dtype)][static_cast<int>(call_.op)];
  // Pieces that are still in the cache when they go to the third member.
  constexpr size_t kPieceBytes = 16 * 1024;
  for (size_t left = total; left > 0;) {
    const size_t bytes = std::min(kPieceBytes, left);
    reduce(targets_[0], n > 1 ? targets_[1] : nullptr, sources_.data(), sources_.size(),
           bytes / element_bytes_, call_.divisor);
    for (size_t i = 2; i < targets_.size(); ++i) std::memcpy(targets_[i], targets_[0], bytes);
    for (const void*& source : sources_) source = static_cast<const std::byte*>(source) + bytes;
    for (std::byte*& target : targets_) target += bytes;
    left -= bytes;
  }
  return Step::kNext;
}

}  // namespace distos_coll::exec
