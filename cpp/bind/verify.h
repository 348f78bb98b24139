// Verification of programs, for distos_coll/program/verify.py.
#pragma once

#include <pybind11/pybind11.h>

namespace distos_coll {

void bind_verify(pybind11::module_& m);

}  // namespace distos_coll
