// One lane of one rank: what every instruction does to symbols. The same rules as in
// distos_coll/program/execution.py.
#pragma once

#include <cstdint>
#include <vector>

#include "program/ir.h"
#include "verify/channel.h"
#include "verify/memory.h"
#include "verify/values.h"
#include "verify/window.h"

namespace distos_coll::verify {

// One rank's run of the program.
struct Operation {
  int32_t rank = 0;
  program::Environment environment;
  Values values;  // of all lanes: a loop variable belongs to one of them
  View views[program::kBufferCount];
  std::vector<int64_t> events;
  Knowledge knowledge;
  Window* window = nullptr;
  Member* member = nullptr;
};

// What lanes share.
class World {
 public:
  virtual ~World() = default;
  virtual Channel& channel(int64_t source, int64_t to, int64_t lane) = 0;
  virtual int64_t size() const = 0;

  Algebra* algebra = nullptr;
  const program::Program* code = nullptr;
  // For each opcode a bit for each operand that is an expression.
  uint8_t expressions[program::kOpcodeCount] = {};
  int64_t progress = 0;  // instructions begun or ended: none in a whole round is a deadlock

  // Before each instruction, as a loop may be long. May throw.
  void tick() {
    if (++ticks_ % kOften == 0) interrupted();
  }

 protected:
  virtual void interrupted() = 0;

 private:
  static constexpr int64_t kOften = 1 << 16;
  int64_t ticks_ = 0;
};

class Lane {
 public:
  Lane(World& world, Operation& operation, int32_t number);

  // Runs until it blocks. The Fault has the instruction's place.
  void resume();
  bool finished() const { return finished_; }
  Place place() const;

 private:
  enum class Wait : uint8_t { kNothing, kTransfers, kEvent, kRound, kMember, kAll };
  struct Known {
    int64_t peer = -1;
    Channel* channel = nullptr;
  };
  static constexpr size_t kKnown = 4;

  void run();
  bool offer();
  void evaluate();
  bool control();
  void begin();
  bool goes_on();
  void complete();
  void next();

  void group();
  bool post(program::Opcode op);
  void send();
  void recv();
  void recv_reduce();
  void post(Recv recv, int64_t peer, int64_t n);
  void copy();
  void finalize();
  void fold();
  void begin_window(program::Opcode op);
  void put();
  void pull();
  void read();
  void reduce_members(bool remote);
  void reduce_to_all();

  Part part(size_t buffer, size_t off) const;
  Elements load_part(const Part& part, int64_t n) const;
  Elements remote(Member& member, int64_t off, int64_t n) const;
  bool wait_for(Member& member);
  bool wait_for_all();
  Channel& channel(int64_t source, int64_t to, bool sends);
  const program::Instruction& here() const { return code_[static_cast<size_t>(at_)]; }

  World& world_;
  Operation& operation_;
  const std::vector<program::Instruction>& code_;
  Window& window_;
  Member& me_;
  int32_t number_;
  int32_t at_ = 0;
  bool finished_ = false;
  bool begun_ = false;      // the instruction was, and waits
  bool evaluated_ = false;  // operands_ are this instruction's
  Wait wait_ = Wait::kNothing;
  bool offers_;                // registered memory, before the first instruction
  bool offered_ = false;       // and it has to hear that all have
  int64_t group_end_ = -1;     // while a group runs
  int unfinished_ = 0;         // transfers
  size_t heard_ = 0;           // members whose arrival was seen
  Member* awaited_ = nullptr;  // the one that counts
  int64_t operands_[program::kMaxOperands] = {};
  std::vector<int64_t> stops_;  // of the loops that run; their variables are in the values
  std::vector<int64_t> counts_;
  Known known_[2][kKnown];
};

}  // namespace distos_coll::verify
