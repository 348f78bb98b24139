#include "program/choose.h"

#include <algorithm>
#include <tuple>

namespace distos_coll::program {

const Choice& choose(const PlanTable& plan, Rows rows, Collective collective, int64_t bytes) {
  const auto wanted = std::tuple(rows, collective, bytes);
  const auto row = std::lower_bound(plan.choices.begin(), plan.choices.end(), wanted,
                                    [](const Choice& candidate, const auto& key) {
                                      return std::tuple(candidate.rows, candidate.collective,
                                                        candidate.max_bytes) < key;
                                    });
  const bool found =
      row != plan.choices.end() && row->rows == rows && row->collective == collective;
  return found ? *row : choose(plan, Rows::kAll, collective, bytes);
}

}  // namespace distos_coll::program
