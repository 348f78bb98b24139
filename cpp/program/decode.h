// What the decoder knows of single programs; whole plans: ir.h.
#pragma once

#include <cstddef>

#include "program/ir.h"

namespace distos_coll::program {

// One program of a plan, alone. Validates as decode_plan() does.
Program decode_program(const void* data, size_t bytes);

// Whether an operand is the id of an expression; else it is a buffer or an immediate, or there is
// none.
bool operand_is_expression(Opcode op, int operand);

}  // namespace distos_coll::program
