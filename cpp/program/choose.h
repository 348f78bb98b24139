// Which row of a plan's choice table decides.
#pragma once

#include <cstdint>

#include "program/ir.h"

namespace distos_coll::program {

// For a collective of so many bytes (docs/decisions/0001); among rows of this kind if the
// collective has any, else among those for all calls. The plan must be one that decode_plan()
// accepted.
const Choice& choose(const PlanTable& plan, Rows rows, Collective collective, int64_t bytes);

inline const Program& program_of(const PlanTable& plan, const Choice& choice) {
  return plan.programs[static_cast<size_t>(choice.program)];
}

}  // namespace distos_coll::program
