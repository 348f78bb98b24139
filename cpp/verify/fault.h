// What verification found, as text with the places of instructions in it. Python writes the places
// (distos_coll/program/verify.py): only it knows what operands are called.
#pragma once

#include <cstdint>
#include <exception>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "program/ir.h"

namespace distos_coll::verify {

// An instruction of a lane of a rank, with the values of its operands at that moment.
struct Place {
  int32_t rank = 0;
  int32_t lane = 0;
  int32_t at = 0;          // the number of instructions: at the lane's end
  bool evaluated = false;  // false: the operands could not be evaluated
  int64_t operands[program::kMaxOperands] = {};
};

class Fault : public std::exception {
 public:
  using Part = std::variant<std::string, Place>;

  explicit Fault(std::string text) { parts.emplace_back(std::move(text)); }
  explicit Fault(std::vector<Part> all) : parts(std::move(all)) {}
  const char* what() const noexcept override { return "a program is wrong"; }

  // "<place>: <text>", unless it is told already which instruction is at fault.
  void put_at(const Place& place) {
    if (placed) return;
    placed = true;
    parts.insert(parts.begin(), {Part(place), Part(std::string(": "))});
  }

  std::vector<Part> parts;
  bool placed = false;
};

}  // namespace distos_coll::verify
