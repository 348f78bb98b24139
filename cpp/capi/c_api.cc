// The C ABI over the core: one translation of exceptions to codes, and nothing else.
#include "distos_coll/c_api.h"

#include <atomic>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <mutex>
#include <string>

#include "capi/callback_store.h"
#include "capi/default_runtime.h"
#include "capi/handles.h"
#include "comm/communicator.h"
#include "comm/interrupt.h"
#include "core/log.h"

using distos_coll::CallOptions;
using distos_coll::Code;
using distos_coll::Collective;
using distos_coll::CollectiveCall;
using distos_coll::Communicator;
using distos_coll::CommunicatorOptions;
using distos_coll::DType;
using distos_coll::Error;
using distos_coll::ReduceOp;
using distos_coll::Ref;
using distos_coll::Work;
using distos_coll::capi::CallbackStore;
using distos_coll::capi::failed;
using distos_coll::capi::guarded;
using distos_coll::capi::last_error;
using distos_coll::capi::pinned;

namespace {

Work* as_work(dc_work* work) { return reinterpret_cast<Work*>(work); }
const Work* as_work(const dc_work* work) { return reinterpret_cast<const Work*>(work); }

void check_range(int value, int count, const char* what) {
  if (value < 0 || value >= count)
    throw Error(Code::kInvalid, distos_coll::strf("%s %d does not exist", what, value));
}

CallOptions options_of(const dc_call* call) {
  CallOptions options;
  if (call == nullptr) return options;
  options.timeout_ms = call->timeout_ms;
  options.blocking = (call->flags & DC_BLOCKING) != 0;
  options.wide = (call->flags & DC_WIDE) != 0;
  options.on_done = call->on_done;
  options.on_done_ctx = call->on_done_ctx;
  return options;
}

CollectiveCall collective_of(const dc_call* call) {
  check_range(call->collective, distos_coll::kCollectiveCount, "collective");
  check_range(call->dtype, distos_coll::kDTypeCount, "dtype");
  check_range(call->op, distos_coll::kReduceOpCount, "reduction");
  CollectiveCall out;
  out.collective = static_cast<Collective>(call->collective);
  out.dtype = static_cast<DType>(call->dtype);
  out.op = static_cast<ReduceOp>(call->op);
  out.root = call->root;
  out.input = call->input;
  out.output = call->output;
  out.count = call->count;
  out.send_counts = call->send_counts;
  out.send_offsets = call->send_offsets;
  out.recv_counts = call->recv_counts;
  out.recv_offsets = call->recv_offsets;
  out.options = options_of(call);
  return out;
}

// A blocking call without a work object reports its outcome as its own.
int outcome(const Ref<Work>& work, dc_work** out) {
  if (out != nullptr || work->code() == Code::kOk) return DC_OK;
  return failed(work->code(), work->error());
}

int run_now(dc_comm* comm, const dc_call* call) {
  Code code = Code::kOk;
  std::string error;
  const int status = guarded([&] { code = pinned(comm)->call(collective_of(call), &error); });
  return status != DC_OK || code == Code::kOk ? status : failed(code, error);
}

template <typename Start>
int start(const dc_call* call, dc_work** out, Start start_operation) {
  if (out == nullptr && (call == nullptr || (call->flags & DC_BLOCKING) == 0)) {
    return failed(Code::kInvalid, "only a blocking call may go without a work object");
  }
  Ref<Work> work;
  const int code = guarded([&] { work = start_operation(reinterpret_cast<Work**>(out)); });
  return code == DC_OK ? outcome(work, out) : code;
}

}  // namespace

int dc_runtime_configure(const char* settings_text) {
  return guarded([&] { distos_coll::configure_default_runtime(settings_text); });
}

dc_runtime* dc_runtime_default(void) {
  dc_runtime* runtime = nullptr;
  guarded([&] { runtime = reinterpret_cast<dc_runtime*>(&distos_coll::default_engine()); });
  return runtime;
}

void dc_runtime_shutdown(void) { distos_coll::shutdown_default_runtime(); }

const char* dc_runtime_describe(void) {
  thread_local std::string text;
  guarded([&] { text = distos_coll::default_engine()->runtime().describe(); });
  return text.c_str();
}

int dc_comm_connect(dc_runtime* runtime, const dc_store* store, const dc_comm_options* options,
                    dc_comm** out) {
  return guarded([&] {
    if (runtime == nullptr) throw Error(Code::kInvalid, "there is no runtime: " + last_error);
    CommunicatorOptions wanted;
    wanted.rank = options->rank;
    wanted.size = options->size;
    wanted.timeout_ms = options->timeout_ms;
    if (options->name != nullptr) wanted.name = options->name;
    const bool knows_jobs = options->struct_size >= sizeof(dc_comm_options);
    if (knows_jobs && options->job_ranks != nullptr)
      wanted.job_ranks.assign(options->job_ranks, options->job_ranks + options->size);
    CallbackStore callbacks(store);
    auto& engine = *reinterpret_cast<std::shared_ptr<distos_coll::Engine>*>(runtime);
    // Lines of the core name the rank in the process's first group: the world, as a rule.
    static std::once_flag first;
    std::call_once(first, [&] { distos_coll::set_log_rank(wanted.rank); });
    auto communicator = Communicator::connect(engine, callbacks, wanted);
    *out = new dc_comm;
    (*out)->communicator.store(std::move(communicator));
  });
}

int dc_comm_topology(const dc_comm* comm, int32_t* domain_of, int32_t* domain_bits) {
  return guarded([&] {
    const auto communicator = pinned(comm);
    const auto& members = communicator->members();
    for (size_t rank = 0; rank < members.size(); ++rank) {
      domain_of[rank] = members[rank].domain;
      domain_bits[rank] = members[rank].bits();
    }
  });
}

const char* dc_comm_host(const dc_comm* comm, int32_t rank) {
  thread_local std::string name;
  name.clear();
  guarded([&] {
    const auto communicator = pinned(comm);
    check_range(rank, communicator->size(), "rank");
    name = communicator->members()[static_cast<size_t>(rank)].host;
  });
  return name.c_str();
}

int dc_comm_install_plan(dc_comm* comm, const void* data, size_t bytes) {
  return guarded([&] { pinned(comm)->install_plan(data, bytes); });
}

int dc_comm_ready(dc_comm* comm, const dc_store* store) {
  return guarded([&] {
    CallbackStore callbacks(store);
    pinned(comm)->ready(callbacks);
  });
}

int dc_comm_give_up(dc_comm* comm, const dc_store* store, const char* why) {
  return guarded([&] {
    CallbackStore callbacks(store);
    pinned(comm)->give_up(callbacks, why);
  });
}

int dc_comm_enqueue(dc_comm* comm, const dc_call* call, dc_work** out) {
  const bool blocking = call != nullptr && (call->flags & DC_BLOCKING) != 0;
  if (out == nullptr && blocking && call->on_done == nullptr) return run_now(comm, call);
  return start(call, out,
               [&](Work** early) { return pinned(comm)->enqueue(collective_of(call), early); });
}

int dc_comm_send(dc_comm* comm, const void* data, int64_t bytes, int32_t dest, int64_t tag,
                 const dc_call* options, dc_work** out) {
  if (bytes < 0) return failed(Code::kInvalid, "send: a message cannot have a negative size");
  return start(options, out, [&](Work** early) {
    return pinned(comm)->send(data, static_cast<size_t>(bytes), dest, tag, options_of(options),
                              early);
  });
}

int dc_comm_recv(dc_comm* comm, void* data, int64_t bytes, int32_t source, int64_t tag,
                 const dc_call* options, dc_work** out) {
  if (bytes < 0) return failed(Code::kInvalid, "recv: a message cannot have a negative size");
  return start(options, out, [&](Work** early) {
    return pinned(comm)->receive(data, static_cast<size_t>(bytes), source, tag, options_of(options),
                                 early);
  });
}

int dc_comm_monitored_barrier(dc_comm* comm, int64_t timeout_ms, int wait_all_ranks) {
  return guarded([&] { pinned(comm)->monitored_barrier(timeout_ms, wait_all_ranks != 0); });
}

int dc_work_test(dc_work* work) {
  if (as_work(work)->done()) return 1;
  if (const auto communicator = as_work(work)->communicator.lock()) communicator->progress();
  return as_work(work)->done() ? 1 : 0;
}

int dc_work_wait(dc_work* work, int64_t timeout_ms) {
  if (!as_work(work)->done()) {
    const auto communicator = as_work(work)->communicator.lock();
    const bool in_time = !communicator || communicator->wait(*as_work(work), timeout_ms);
    if (!in_time)
      return failed(Code::kTimeout, distos_coll::strf("not finished after %lld ms; it goes on",
                                                      static_cast<long long>(timeout_ms)));
  }
  return as_work(work)->code() == Code::kOk ? DC_OK
                                            : failed(as_work(work)->code(), as_work(work)->error());
}

int dc_work_code(const dc_work* work) { return static_cast<int>(as_work(work)->code()); }
const char* dc_work_error(const dc_work* work) { return as_work(work)->error().c_str(); }
int32_t dc_work_source(const dc_work* work) { return as_work(work)->source(); }
const char* dc_work_algorithm(const dc_work* work) { return as_work(work)->algorithm(); }
void dc_work_release(dc_work* work) {
  if (work != nullptr) as_work(work)->release();
}

void dc_comm_set_timeout(dc_comm* comm, int64_t timeout_ms) {
  guarded([&] { pinned(comm)->set_timeout(timeout_ms); });
}

int64_t dc_comm_sequence(const dc_comm* comm) {
  int64_t sequence = 0;
  guarded([&] { sequence = pinned(comm)->sequence(); });
  return sequence;
}

const char* dc_comm_choice(const dc_comm* comm, int32_t collective, int64_t bytes) {
  thread_local std::string name;
  name.clear();
  guarded([&] {
    check_range(collective, distos_coll::kCollectiveCount, "collective");
    name = pinned(comm)->choice(static_cast<Collective>(collective), bytes).name;
  });
  return name.c_str();
}

void dc_comm_abort(dc_comm* comm, const char* reason) {
  guarded([&] { pinned(comm)->abort(reason == nullptr ? "no reason given" : reason); });
}

void dc_comm_close(dc_comm* comm) {
  guarded([&] {
    if (comm == nullptr) return;
    const auto communicator = comm->communicator.load();
    if (!communicator) return;
    // Still reachable meanwhile, so that abort() can cut the wait short.
    communicator->close();
    comm->communicator.store(nullptr);
  });
}

void dc_set_interrupt_check(int (*check)(void)) {
  static std::atomic<int (*)(void)> installed;
  installed.store(check);
  distos_coll::set_interrupt_check(check == nullptr ? nullptr
                                                    : +[] { return installed.load()() != 0; });
}

const char* dc_last_error(void) { return last_error.c_str(); }
const char* dc_version(void) { return DISTOS_COLL_VERSION; }
