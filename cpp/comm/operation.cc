#include "comm/operation.h"

#include <algorithm>
#include <cstring>
#include <numeric>

namespace distos_coll {

using program::Array;
using program::Buffer;
using program::Param;

namespace {

// Large enough for any memory, small enough that bytes times ranks fit in 64 bits.
constexpr int64_t kMaxCount = int64_t{1} << 40;
// Offsets may be distances between allocations: as far apart as addresses can be.
constexpr int64_t kMaxOffset = int64_t{1} << 48;

}  // namespace

Operation::Operation(const CollectiveCall& call, int rank, int size)
    : call_(call), rank_(rank), size_(size) {
  set_callback(call.options.on_done, call.options.on_done_ctx);
  check(rank, size);
  if (is_v()) take_vectors(size);
  if (!is_reducing(call_.collective)) {
    // What is only moved is moved as bytes, whatever it is.
    unit_ = static_cast<int64_t>(dtype_bytes(call_.dtype));
    call_.count *= unit_;
    for (int64_t& value : vectors_) value *= unit_;
    call_.dtype = DType::kUint8;
    call_.op = ReduceOp::kSum;
  }
  measure();
}

void Operation::check(int rank, int size) {
  const auto refuse = [&](const std::string& why) {
    throw Error(Code::kInvalid, strf("%s on rank %d: ", name_of(call_.collective), rank) + why);
  };
  if (call_.count < 0 || call_.count > kMaxCount)
    refuse(strf("count %lld is out of range", static_cast<long long>(call_.count)));
  if (call_.root < 0 || call_.root >= size)
    refuse(strf("root %d is not in the group of %d ranks", call_.root, size));
  if (is_reducing(call_.collective) && !reduce::supported(call_.dtype, call_.op)) {
    refuse(strf("op %s has no meaning for %s", name_of(call_.op), name_of(call_.dtype)));
  }
  const bool sends =
      call_.collective == Collective::kAllToAllV || call_.collective == Collective::kReduceScatterV;
  const bool receives =
      call_.collective == Collective::kAllToAllV || call_.collective == Collective::kAllGatherV;
  if (sends && (call_.send_counts == nullptr || call_.send_offsets == nullptr))
    refuse("send counts and offsets are missing");
  if (receives && (call_.recv_counts == nullptr || call_.recv_offsets == nullptr))
    refuse("receive counts and offsets are missing");
}

void Operation::take_vectors(int size) {
  const auto n = static_cast<size_t>(size);
  vectors_.assign(4 * n, 0);
  const int64_t* given[4] = {call_.send_counts, call_.send_offsets, call_.recv_counts,
                             call_.recv_offsets};
  for (size_t v = 0; v < 4; ++v) {
    if (given[v] != nullptr)
      std::copy_n(given[v], n, vectors_.begin() + static_cast<std::ptrdiff_t>(v * n));
  }
  for (size_t i = 0; i < vectors_.size(); ++i) {
    const bool offset = i / n % 2 == 1;
    if (vectors_[i] >= 0 && vectors_[i] <= (offset ? kMaxOffset : kMaxCount)) continue;
    throw Error(Code::kInvalid,
                strf("%s: %s %lld is out of range", name_of(call_.collective),
                     offset ? "offset" : "count", static_cast<long long>(vectors_[i])));
  }
}

bool Operation::has_vectors_of(const CollectiveCall& call) const {
  const int64_t* given[4] = {call.send_counts, call.send_offsets, call.recv_counts,
                             call.recv_offsets};
  auto own = vectors_.begin();
  for (size_t v = 0; v < 4 && own != vectors_.end(); ++v, own += size_) {
    if (given[v] == nullptr) continue;
    const bool same = std::equal(own, own + size_, given[v], [this](int64_t mine, int64_t theirs) {
      return mine / unit_ == theirs;
    });
    if (!same) return false;
  }
  return true;
}

bool Operation::renew(const void* input, void* output) {
  call_.input = input;
  call_.output = output;
  reopen();
  return has_buffers();
}

bool Operation::has_buffers() const {
  return (input_elements_ == 0 || call_.input != nullptr) &&
         (output_elements_ == 0 || call_.output != nullptr);
}

// Fills in what a rank has and gets, and by how much the plan chooses (docs/decisions/0001).
void Operation::measure() {
  const int64_t key = is_v() ? measure_v() : measure_even();
  choice_bytes_ = key * static_cast<int64_t>(dtype_bytes(call_.dtype));
  if (!has_buffers()) {
    throw Error(Code::kInvalid,
                strf("%s on rank %d: a buffer is missing", name_of(call_.collective), rank_));
  }
  const bool nothing = key == 0 && call_.collective != Collective::kAllToAllV &&
                       call_.collective != Collective::kBarrier;
  local_ = size_ == 1 || nothing;
}

int64_t Operation::measure_even() {
  const int64_t one = call_.count, all = size_ * one;
  const bool root = rank_ == call_.root;
  int64_t in = one, out = one, key = one;
  switch (call_.collective) {
    case Collective::kReduce:
      out = root ? one : 0;
      break;
    case Collective::kBroadcast:
      in = root ? one : 0;
      break;
    case Collective::kAllGather:
      out = key = all;
      break;
    case Collective::kReduceScatter:
      in = key = all;
      break;
    case Collective::kAllToAll:
      in = out = key = all;
      break;
    case Collective::kGather:
      out = root ? all : 0;
      key = all;
      break;
    case Collective::kScatter:
      in = root ? all : 0;
      key = all;
      break;
    case Collective::kBarrier:
      in = out = key = 0;
      break;
    default:  // all_reduce
      break;
  }
  input_elements_ = in;
  output_elements_ = out;
  return key;
}

int64_t Operation::measure_v() {
  const auto n = static_cast<size_t>(size_);
  const auto entry = [&](size_t vector, size_t rank) { return vectors_[vector * n + rank]; };
  const auto extent = [&](size_t counts) {  // offsets lie behind their counts
    int64_t end = 0;
    for (size_t i = 0; i < n; ++i) {
      if (entry(counts, i) > 0) end = std::max(end, entry(counts + 1, i) + entry(counts, i));
    }
    return end;
  };
  constexpr size_t kSend = 0, kRecv = 2;
  const auto own = static_cast<size_t>(rank_);
  const bool gathers = call_.collective == Collective::kAllGatherV;
  const bool scatters = call_.collective == Collective::kReduceScatterV;
  input_elements_ = gathers ? entry(kRecv, own) : extent(kSend);
  output_elements_ = scatters ? entry(kSend, own) : extent(kRecv);
  call_.count = 0;
  if (!gathers && !scatters) {
    if (entry(kSend, own) == entry(kRecv, own)) return 0;
    throw Error(
        Code::kInvalid,
        strf("all_to_all_v on rank %d: it sends itself %lld elements but expects %lld", rank_,
             static_cast<long long>(entry(kSend, own)), static_cast<long long>(entry(kRecv, own))));
  }
  int64_t total = 0;
  for (size_t i = 0; i < n; ++i) {
    const int64_t count = entry(gathers ? kRecv : kSend, i);
    total += count;
    call_.count = std::max(call_.count, count);
  }
  return total;
}

std::byte* Operation::data(Buffer buffer) const {
  const void* at = buffer == Buffer::kInput ? call_.input : call_.output;
  return static_cast<std::byte*>(const_cast<void*>(at));
}

size_t Operation::bytes(Buffer buffer) const {
  const int64_t elements = buffer == Buffer::kInput ? input_elements_ : output_elements_;
  return static_cast<size_t>(elements) * dtype_bytes(call_.dtype);
}

void Operation::copy_locally() const {
  const size_t unit = dtype_bytes(call_.dtype);
  const auto* from = static_cast<const std::byte*>(call_.input);
  auto* to = static_cast<std::byte*>(call_.output);
  int64_t elements = std::min(input_elements_, output_elements_);
  if (is_v() && !vectors_.empty()) {
    const auto v = [&](size_t which) {
      return vectors_[which * static_cast<size_t>(size_) + static_cast<size_t>(rank_)];
    };
    if (call_.collective != Collective::kAllGatherV) from += static_cast<size_t>(v(1)) * unit;
    if (call_.collective != Collective::kReduceScatterV) to += static_cast<size_t>(v(3)) * unit;
    elements = call_.collective == Collective::kAllGatherV ? v(2) : v(0);
  }
  if (elements > 0 && from != to) std::memmove(to, from, static_cast<size_t>(elements) * unit);
}

void Operation::bind(const program::Program& program, const program::Environment& fixed,
                     int64_t segment_bytes, size_t slot_bytes, bool widen,
                     std::vector<std::byte>& scratch, exec::Call* call) {
  algorithm_ = program.name.c_str();
  uses_streams_ = program.uses_streams;
  call->program = &program;
  call->environment = fixed;
  call->dtype = widen ? DType::kFloat32 : call_.dtype;
  call->op = call_.op == ReduceOp::kAverage ? ReduceOp::kSum : call_.op;
  call->divisor = call_.op == ReduceOp::kAverage ? size_ : 1;
  call->signature = signature(widen);

  const auto unit = static_cast<int64_t>(dtype_bytes(call->dtype));
  auto& params = call->environment.params;
  params[static_cast<int>(Param::kCount)] = call_.count;
  params[static_cast<int>(Param::kRoot)] = call_.root;
  params[static_cast<int>(Param::kSegment)] = std::max<int64_t>(segment_bytes / unit, 1);
  params[static_cast<int>(Param::kSlot)] = static_cast<int64_t>(slot_bytes) / unit;
  params[static_cast<int>(Param::kElementBytes)] = unit;
  if (is_v()) {
    const auto n = static_cast<size_t>(size_);
    for (size_t v = 0; v < 4; ++v) {
      call->environment.arrays[static_cast<size_t>(Array::kSendCounts) + v] =
          std::span(vectors_).subspan(v * n, n);
    }
  }

  std::byte* input = data(Buffer::kInput);
  std::byte* output = data(Buffer::kOutput);
  if (widen) {
    widen_input(call);
    input = reinterpret_cast<std::byte*>(wide_.get());
    output = reinterpret_cast<std::byte*>(wide_.get() + wide_input_elements_);
  }
  call->buffer[static_cast<int>(Buffer::kInput)] = input;
  call->capacity[static_cast<int>(Buffer::kInput)] = widen ? wide_input_elements_ : input_elements_;
  call->buffer[static_cast<int>(Buffer::kOutput)] = output;
  call->capacity[static_cast<int>(Buffer::kOutput)] = output_elements_;
  call->buffer[static_cast<int>(Buffer::kScratch)] = nullptr;
  call->capacity[static_cast<int>(Buffer::kScratch)] = 0;
  if (program.scratch < 0) return;
  program::Values values;
  values.start(program, call->environment);
  const int64_t elements = std::max<int64_t>(values[program.scratch], 0);
  if (scratch.size() < static_cast<size_t>(elements * unit))
    scratch.resize(static_cast<size_t>(elements * unit));
  call->buffer[static_cast<int>(Buffer::kScratch)] = scratch.data();
  call->capacity[static_cast<int>(Buffer::kScratch)] = elements;
}

// A float32 copy of the input, and room for the output behind it. The parts of a reduce_scatter_v
// may lie anywhere, with memory that is not ours between them, so they are put side by side.
void Operation::widen_input(exec::Call* call) {
  const auto widen = reduce::kernels().widen[static_cast<int>(call_.dtype)];
  const bool parts = call_.collective == Collective::kReduceScatterV;
  const auto n = static_cast<size_t>(size_);
  wide_input_elements_ = input_elements_;
  if (parts)
    wide_input_elements_ = std::accumulate(vectors_.begin(), vectors_.begin() + size_, int64_t{0});
  wide_ = std::make_unique_for_overwrite<float[]>(
      static_cast<size_t>(wide_input_elements_ + output_elements_));
  if (!parts) {
    widen(wide_.get(), call_.input, static_cast<size_t>(input_elements_));
    return;
  }
  const auto* from = static_cast<const std::byte*>(call_.input);
  wide_offsets_.assign(n, 0);
  int64_t end = 0;
  for (size_t i = 0; i < n; ++i) {
    const int64_t count = vectors_[i], offset = vectors_[n + i];
    wide_offsets_[i] = end;
    widen(wide_.get() + end, from + static_cast<size_t>(offset) * dtype_bytes(call_.dtype),
          static_cast<size_t>(count));
    end += count;
  }
  call->environment.arrays[static_cast<size_t>(Array::kSendOffsets)] = wide_offsets_;
}

// A float32 copy travels as float32, so a rank that makes one must not meet a rank that does not.
Signature Operation::signature(bool widened) const {
  const auto dtype = widened ? widened_half(call_.dtype) : call_.dtype;
  return Signature(call_.collective, dtype, call_.op, call_.root, call_.count);
}

void Operation::unbind() const {
  if (!wide_) return;
  reduce::kernels().narrow[static_cast<int>(call_.dtype)](
      call_.output, wide_.get() + wide_input_elements_, static_cast<size_t>(output_elements_));
}

std::string Operation::describe() const {
  return strf("#%lld ", static_cast<long long>(sequence)) + signature(false).describe();
}

}  // namespace distos_coll
