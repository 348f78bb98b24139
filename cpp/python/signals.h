// Signals of Python for threads that wait in the core. Python runs its handlers in its main thread
// only, and only when that asks; what one raises is kept in the interpreter until the call that
// waited has come back to its door, whichever Python module that is.
#pragma once

#include <Python.h>
#include <unistd.h>

namespace distos_coll {

inline constexpr const char* kKeptException = "_distos_coll_interrupt";

// For dc_set_interrupt_check.
inline int python_interrupts() {
  if (gettid() != getpid() || Py_IsInitialized() == 0) return 0;
  const PyGILState_STATE gil = PyGILState_Ensure();
  const bool raised = PyErr_CheckSignals() != 0;
  if (raised) {
    PyObject *type = nullptr, *value = nullptr, *trace = nullptr;
    PyErr_Fetch(&type, &value, &trace);
    PyErr_NormalizeException(&type, &value, &trace);
    PySys_SetObject(kKeptException, value);
    Py_XDECREF(type);
    Py_XDECREF(value);
    Py_XDECREF(trace);
  }
  PyGILState_Release(gil);
  return raised ? 1 : 0;
}

// With the GIL held, in the thread that waited: makes the kept exception Python's current one.
// False if there is none.
inline bool restore_python_interrupt() {
  if (gettid() != getpid()) return false;
  PyObject* kept = PySys_GetObject(kKeptException);  // borrowed
  if (kept == nullptr || kept == Py_None) return false;
  PyErr_SetObject(reinterpret_cast<PyObject*>(Py_TYPE(kept)), kept);
  PySys_SetObject(kKeptException, nullptr);
  return true;
}

}  // namespace distos_coll
