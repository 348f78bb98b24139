#include "comm/flight_text.h"

#include <map>
#include <utility>

namespace distos_coll {
namespace {

// What readers of a dump must understand; raised when its meaning changes.
constexpr int kFormat = 1;
// Of torch's flight recorder, whose names of fields these are.
constexpr const char* kTorchVersion = "2.10";

std::string quoted(const std::string& text) {
  std::string out = "\"";
  for (const char c : text) {
    if (c == '"' || c == '\\') {
      out += {'\\', c};
    } else if (static_cast<unsigned char>(c) < 0x20) {
      out += strf("\\u%04x", static_cast<unsigned>(c));
    } else {
      out += c;
    }
  }
  return out + '"';
}

std::string number(int64_t value) { return std::to_string(value); }

// The parts put between commas.
std::string joined(const std::vector<std::string>& parts, const char* separator) {
  std::string out;
  for (const std::string& part : parts) out += (out.empty() ? "" : separator) + part;
  return out;
}

std::string id_of(const FlightGroup& group) {
  return strf("\"%016llx\"", static_cast<unsigned long long>(group.id));
}

// Elements that a rank has and gets: of the largest part, where ranks have different ones.
std::pair<int64_t, int64_t> sizes_of(const Signature& signature, int64_t ranks) {
  const int64_t one = signature.count(), all = ranks * one;
  switch (signature.collective()) {
    case Collective::kAllGather:
    case Collective::kGather:
      return {one, all};
    case Collective::kReduceScatter:
    case Collective::kScatter:
      return {all, one};
    case Collective::kAllToAll:
      return {all, all};
    default:
      return {one, one};
  }
}

class Writer {
 public:
  explicit Writer(const FlightProcess& process)
      : wall_offset_ns_(process.wall_ns - process.now_ns) {}

  void add(const FlightGroup& group, int pg_id) {
    for (const auto& record : group.collectives) {
      entries_.emplace(record.queued_ns, head(group, pg_id) +
                                             collective_fields(record, group.options.size) +
                                             times(record.queued_ns, record.ended_ns) +
                                             state_fields(record.state, Recorder::State::kRunning));
    }
    for (const auto& record : group.messages) {
      entries_.emplace(record.queued_ns,
                       head(group, pg_id) + message_fields(record, group.options.rank) +
                           times(record.queued_ns, 0) +
                           state_fields(record.state, MessageRecorder::State::kMatched));
    }
  }

  std::string entries() {
    std::vector<std::string> lines;
    lines.reserve(entries_.size());
    for (const auto& [queued_ns, text] : entries_)
      lines.push_back(strf("{\"record_id\": %zu, ", lines.size()) + text + "}");
    return joined(lines, ",\n  ");
  }

 private:
  static std::string head(const FlightGroup& group, int pg_id) {
    return strf(R"("pg_id": %d, "process_group": [%s, %s], "timeout_ms": %lld, "frames": [], )",
                pg_id, id_of(group).c_str(), quoted(group.options.name).c_str(),
                static_cast<long long>(group.options.timeout_ms));
  }

  static std::string numbers(bool is_p2p, int64_t sequence) {
    const std::string own = number(sequence);
    return strf(R"("is_p2p": %s, "collective_seq_id": %s, "p2p_seq_id": %s, "op_id": %s, )",
                is_p2p ? "true" : "false", is_p2p ? "0" : own.c_str(), is_p2p ? own.c_str() : "0",
                own.c_str());
  }

  // "input_sizes": [[4]], "input_dtypes": ["float32"]; negative: there is none.
  static std::string tensor(const char* which, int64_t elements, DType dtype) {
    if (elements < 0) return strf(R"("%s_sizes": [], "%s_dtypes": [], )", which, which);
    return strf(R"("%s_sizes": [[%lld]], "%s_dtypes": ["%s"], )", which,
                static_cast<long long>(elements), which, name_of(dtype));
  }

  static std::string collective_fields(const Recorder::Record& record, int64_t ranks) {
    const auto [input, output] = sizes_of(record.signature, ranks);
    const DType dtype = record.signature.dtype();
    return numbers(false, record.sequence) +
           strf(R"("profiling_name": "distos:%s", "call": %s, "algorithm": %s, )",
                name_of(record.signature.collective()), quoted(record.signature.describe()).c_str(),
                quoted(record.program).c_str()) +
           tensor("input", input, dtype) + tensor("output", output, dtype);
  }

  static std::string message_fields(const MessageRecorder::Record& record, int rank) {
    const std::string peer = record.peer < 0 ? "any" : number(record.peer);
    const auto bytes = static_cast<int64_t>(record.bytes);
    return numbers(true, record.sequence) +
           strf(R"("profiling_name": "distos:%s %d%s%s", "peer": %d, "tag": %s, "bytes": %s, )",
                record.sends ? "send" : "recv", rank, record.sends ? "->" : "<-", peer.c_str(),
                record.peer, number(record.tag).c_str(), number(bytes).c_str()) +
           tensor("input", record.sends ? bytes : -1, DType::kUint8) +
           tensor("output", record.sends ? -1 : bytes, DType::kUint8);
  }

  std::string times(int64_t queued_ns, int64_t ended_ns) const {
    return R"("time_created_ns": )" + wall(queued_ns) +
           R"(, "time_discovered_started_ns": null, "time_discovered_completed_ns": )" +
           wall(ended_ns) + ", ";
  }

  std::string wall(int64_t at_ns) const {
    return at_ns > 0 ? number(at_ns + wall_offset_ns_) : "null";
  }

  // An operation that failed is "started" to torch, and "retired": nobody waits for it any more.
  template <typename State>
  static std::string state_fields(State state, State started) {
    const bool completed = state == State::kFinished, failed = state == State::kFailed;
    const char* const before = failed || state == started ? "started" : "scheduled";
    return strf(R"("state": "%s", "retired": %s)", completed ? "completed" : before,
                completed || failed ? "true" : "false");
  }

  const int64_t wall_offset_ns_;
  // By the time of the call; without the record_id, which counts the entries of all groups.
  std::multimap<int64_t, std::string> entries_;
};

std::string config_of(const FlightGroup& group) {
  const CommunicatorOptions& options = group.options;
  std::vector<std::string> ranks;
  ranks.reserve(static_cast<size_t>(options.size));
  for (int rank = 0; rank < options.size; ++rank) ranks.push_back(number(options.job_rank(rank)));
  const std::string id = id_of(group);
  std::string text = strf(R"(%s: {"name": %s, "desc": %s, "ranks": "[%s]", "rank": %d, "size": %d)",
                          id.c_str(), id.c_str(), quoted(options.name).c_str(),
                          joined(ranks, ", ").c_str(), options.rank, options.size);
  if (group.code != Code::kOk) {
    text += strf(R"(, "error_code": "%s", "error": %s)", name_of(group.code),
                 quoted(group.why).c_str());
  }
  return text + "}";
}

std::string status_of(const FlightGroup& group) {
  int64_t started = 0, completed = 0;
  for (const Recorder::Record& record : group.collectives) {
    if (record.state != Recorder::State::kQueued) started = record.sequence;
    if (record.state == Recorder::State::kFinished) completed = record.sequence;
  }
  return id_of(group) +
         strf(R"(: {"last_enqueued_collective": %s, "last_started_collective": %s, )",
              number(group.last_collective).c_str(), number(started).c_str()) +
         strf(R"("last_completed_collective": %s, "last_enqueued_message": %s})",
              number(completed).c_str(), number(group.last_message).c_str());
}

}  // namespace

std::string flight_text(const FlightProcess& process, const std::vector<FlightGroup>& groups) {
  Writer writer(process);
  std::vector<std::string> configs, statuses;
  for (const FlightGroup& group : groups) {
    writer.add(group, static_cast<int>(configs.size()));
    configs.push_back(config_of(group));
    statuses.push_back(status_of(group));
  }
  return strf("{\"version\": \"%s\",\n", kTorchVersion) +
         strf(R"( "distos": {"format": %d, "library": "%s", "rank": %d, "pid": %s, "host": %s, )",
              kFormat, DISTOS_COLL_VERSION, process.rank, number(process.pid).c_str(),
              quoted(process.host).c_str()) +
         strf(R"("reason": %s, "time_ns": %s},)", quoted(process.reason).c_str(),
              number(process.wall_ns).c_str()) +
         "\n \"pg_config\": {" + joined(configs, ",\n  ") + "},\n \"pg_status\": {" +
         joined(statuses, ",\n  ") + "},\n \"entries\": [" + writer.entries() + "]}\n";
}

}  // namespace distos_coll
