// What a dump of the flight recorder says, as JSON in torch's words where they fit (docs/decisions
// 0005; distos_coll/flight reads it). Values in, text out.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "comm/member.h"
#include "comm/message_recorder.h"
#include "comm/recorder.h"
#include "core/status.h"

namespace distos_coll {

// What one rank knows of one of its groups.
struct FlightGroup {
  uint64_t id = 0;  // the same on all ranks
  CommunicatorOptions options;
  Code code = Code::kOk;  // why it broke
  std::string why;
  int64_t last_collective = 0;  // called so far
  int64_t last_message = 0;
  std::vector<Recorder::Record> collectives;
  std::vector<MessageRecorder::Record> messages;
};

struct FlightProcess {
  int rank = 0;  // in the job
  int64_t pid = 0;
  std::string host;
  std::string reason;   // of the dump
  int64_t now_ns = 0;   // the time of the dump on the clock of the records
  int64_t wall_ns = 0;  // and since 1970
};

std::string flight_text(const FlightProcess& process, const std::vector<FlightGroup>& groups);

}  // namespace distos_coll
