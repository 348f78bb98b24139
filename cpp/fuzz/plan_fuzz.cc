// A plan table, as a file or a helper process may hand it over: the number of ranks in one byte,
// then the table. What the decoder accepts must be safe to look at in every way that the core does.
#include <cstdlib>

#include "core/status.h"
#include "fuzz/fuzz_target.h"
#include "program/ir.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t bytes) {
  using namespace distos_coll;
  if (bytes == 0) return 0;
  const int64_t size = 1 + data[0] % 8;
  try {
    const program::PlanTable plan = program::decode_plan(data + 1, bytes - 1, size);
    for (const auto& row : plan.choices) {
      if (row.program < 0 || static_cast<size_t>(row.program) >= plan.programs.size()) std::abort();
    }
    for (const auto& each : plan.programs) {
      for (const auto& lane : each.lanes) {
        for (const auto& instruction : lane) {
          if (static_cast<size_t>(instruction.match) > lane.size()) std::abort();
        }
      }
    }
  } catch (const Error& error) {
    if (error.code() != Code::kInvalid) std::abort();
  }
  return 0;
}
