#include "comm/flight_text.h"

#include <algorithm>
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

struct Entry {
  int64_t queued_ns;
  std::string text;  // all but the record_id, which counts the entries of all groups
};

class Writer {
 public:
  explicit Writer(const FlightProcess& process)
      : wall_offset_ns_(process.wall_ns - process.now_ns) {}

  void add(const FlightGroup& group, int pg_id) {
    for (const auto& record : group.collectives)
      entries_.push_back({record.queued_ns, head(group, pg_id) + collective(group, record)});
    for (const auto& record : group.messages)
      entries_.push_back({record.queued_ns, head(group, pg_id) + message(group, record)});
  }

  std::string entries() {
    std::stable_sort(entries_.begin(), entries_.end(),
                     [](const Entry& a, const Entry& b) { return a.queued_ns < b.queued_ns; });
    std::vector<std::string> lines;
    for (const Entry& entry : entries_) {
      lines.push_back(strf("{\"record_id\": %zu, ", lines.size()) + entry.text + "}");
    }
    return joined(lines, ",\n  ");
  }

 private:
  static std::string head(const FlightGroup& group, int pg_id) {
    return strf(
        "\"pg_id\": %d, \"process_group\": [%s, %s], \"timeout_ms\": %lld, \"frames\": [], ", pg_id,
        id_of(group).c_str(), quoted(group.options.name).c_str(),
        static_cast<long long>(group.options.timeout_ms));
  }

  std::string wall(int64_t at_ns) const {
    return at_ns > 0 ? number(at_ns + wall_offset_ns_) : "null";
  }

  // An operation that failed is "started" to torch, and "retired": nobody waits for it any more.
  template <typename State>
  static std::string state_fields(State state, State started) {
    const bool completed = state == State::kFinished, failed = state == State::kFailed;
    return strf("\"state\": \"%s\", \"retired\": %s",
                completed                    ? "completed"
                : failed || state == started ? "started"
                                             : "scheduled",
                completed || failed ? "true" : "false");
  }

  std::string collective(const FlightGroup& group, const Recorder::Record& record) const {
    const auto [input, output] = sizes_of(record.signature, group.options.size);
    const char* const dtype = name_of(record.signature.dtype());
    return strf(
               "\"is_p2p\": false, \"collective_seq_id\": %lld, \"p2p_seq_id\": 0, "
               "\"op_id\": %lld, \"profiling_name\": \"distos:%s\", \"call\": %s, "
               "\"algorithm\": %s, \"input_sizes\": [[%lld]], \"input_dtypes\": [\"%s\"], "
               "\"output_sizes\": [[%lld]], \"output_dtypes\": [\"%s\"], ",
               static_cast<long long>(record.sequence), static_cast<long long>(record.sequence),
               name_of(record.signature.collective()), quoted(record.signature.describe()).c_str(),
               quoted(record.program).c_str(), static_cast<long long>(input), dtype,
               static_cast<long long>(output), dtype) +
           times(record.queued_ns, record.ended_ns) +
           state_fields(record.state, Recorder::State::kRunning);
  }

  std::string message(const FlightGroup& group, const MessageRecorder::Record& record) const {
    const std::string peer = record.peer < 0 ? "any" : number(record.peer);
    const std::string size = strf("[[%llu]]", static_cast<unsigned long long>(record.bytes));
    return strf(
               "\"is_p2p\": true, \"collective_seq_id\": 0, \"p2p_seq_id\": %lld, "
               "\"op_id\": %lld, \"profiling_name\": \"distos:%s %d%s%s\", \"peer\": %d, "
               "\"tag\": %lld, \"bytes\": %llu, \"input_sizes\": %s, \"input_dtypes\": [%s], "
               "\"output_sizes\": %s, \"output_dtypes\": [%s], ",
               static_cast<long long>(record.sequence), static_cast<long long>(record.sequence),
               record.sends ? "send" : "recv", group.options.rank, record.sends ? "->" : "<-",
               peer.c_str(), record.peer, static_cast<long long>(record.tag),
               static_cast<unsigned long long>(record.bytes), record.sends ? size.c_str() : "[]",
               record.sends ? "\"uint8\"" : "", record.sends ? "[]" : size.c_str(),
               record.sends ? "" : "\"uint8\"") +
           times(record.queued_ns, 0) +
           state_fields(record.state, MessageRecorder::State::kMatched);
  }

  std::string times(int64_t queued_ns, int64_t ended_ns) const {
    return "\"time_created_ns\": " + wall(queued_ns) +
           ", \"time_discovered_started_ns\": null, \"time_discovered_completed_ns\": " +
           wall(ended_ns) + ", ";
  }

  const int64_t wall_offset_ns_;
  std::vector<Entry> entries_;
};

std::string config_of(const FlightGroup& group) {
  const CommunicatorOptions& options = group.options;
  std::vector<std::string> ranks;
  for (int rank = 0; rank < options.size; ++rank) ranks.push_back(number(options.job_rank(rank)));
  const std::string name = quoted(options.name);
  std::string text = id_of(group) + ": {\"name\": " + id_of(group) + ", \"desc\": " + name +
                     ", \"ranks\": \"[" + joined(ranks, ", ") +
                     strf("]\", \"rank\": %d, \"size\": %d", options.rank, options.size);
  if (group.code != Code::kOk)
    text += strf(", \"error_code\": \"%s\", \"error\": ", name_of(group.code)) + quoted(group.why);
  return text + "}";
}

std::string status_of(const FlightGroup& group) {
  int64_t started = 0, completed = 0;
  for (const Recorder::Record& record : group.collectives) {
    if (record.state != Recorder::State::kQueued) started = record.sequence;
    if (record.state == Recorder::State::kFinished) completed = record.sequence;
  }
  return id_of(group) +
         strf(
             ": {\"last_enqueued_collective\": %lld, \"last_started_collective\": %lld, "
             "\"last_completed_collective\": %lld, \"last_enqueued_message\": %lld}",
             static_cast<long long>(group.last_collective), static_cast<long long>(started),
             static_cast<long long>(completed), static_cast<long long>(group.last_message));
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
         strf(" \"distos\": {\"format\": %d, \"library\": \"%s\", \"rank\": %d, \"pid\": %lld, ",
              kFormat, DISTOS_COLL_VERSION, process.rank, static_cast<long long>(process.pid)) +
         "\"host\": " + quoted(process.host) + ", \"reason\": " + quoted(process.reason) +
         ", \"time_ns\": " + number(process.wall_ns) + "},\n \"pg_config\": {" +
         joined(configs, ",\n  ") + "},\n \"pg_status\": {" + joined(statuses, ",\n  ") +
         "},\n \"entries\": [" + writer.entries() + "]}\n";
}

}  // namespace distos_coll
