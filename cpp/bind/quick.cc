#include "bind/quick.h"

#include <pybind11/numpy.h>

#include <array>
#include <optional>
#include <string>
#include <string_view>

#include "core/types.h"
#include "reduce/reduce.h"

namespace py = pybind11;
using py::arg;

namespace distos_coll {
namespace {

// numpy's type objects that were met before. The usual ones exist once, so their addresses are
// enough; read and written with the GIL held.
struct KnownType {
  PyObject* descriptor = nullptr;
  int64_t item_bytes = 0;
  int dtype = -1;  // whose kernels reduce it; -1: it is only moved
};
std::array<KnownType, 32> g_known;
size_t g_n_known = 0;

void learn_type(const py::object& descriptor, int64_t item_bytes, int dtype) {
  for (size_t i = 0; i < g_n_known; ++i) {
    if (g_known[i].descriptor == descriptor.ptr()) return;
  }
  if (g_n_known == g_known.size()) return;
  g_known[g_n_known++] = {descriptor.inc_ref().ptr(), item_bytes, dtype};
}

// An array whose memory can be taken as it is.
struct View {
  std::byte* data = nullptr;
  int64_t count = 0;
  int64_t rows = 0;   // of dimension 0; 0 where there is none
  int64_t width = 1;  // elements of a row
  bool scalar = false;
  const KnownType* type = nullptr;

  int64_t bytes() const { return count * type->item_bytes; }
  bool overlaps(const View& other) const {
    return data < other.data + other.bytes() && other.data < data + bytes();
  }
};

using Api = py::detail::npy_api;

std::optional<View> view_of(PyObject* object, bool writes) {
  // Subclasses may mean something else by their memory: a mask, for one.
  if (reinterpret_cast<PyObject*>(Py_TYPE(object)) !=
      reinterpret_cast<PyObject*>(Api::get().PyArray_Type_))
    return std::nullopt;
  const auto* array = py::detail::array_proxy(object);
  const int wanted = Api::NPY_ARRAY_C_CONTIGUOUS_ | (writes ? Api::NPY_ARRAY_WRITEABLE_ : 0);
  if ((array->flags & wanted) != wanted) return std::nullopt;
  View view;
  for (size_t i = 0; i < g_n_known && view.type == nullptr; ++i) {
    if (g_known[i].descriptor == array->descr) view.type = &g_known[i];
  }
  if (view.type == nullptr) return std::nullopt;
  view.data = reinterpret_cast<std::byte*>(array->data);
  view.count = 1;
  for (int i = 1; i < array->nd; ++i) view.width *= array->dimensions[i];
  view.count = view.width;
  view.scalar = array->nd == 0;
  if (!view.scalar) view.count *= view.rows = array->dimensions[0];
  return view;
}

// How many rows each rank gives, or gets, and then where its elements lie.
class Parts {
 public:
  // False: not a list or tuple of a number for each rank, or there are too many ranks.
  bool read(PyObject* numbers, int64_t size) {
    const bool list = PyList_CheckExact(numbers);
    if ((!list && !PyTuple_CheckExact(numbers)) || size > kMaxRanks ||
        PySequence_Fast_GET_SIZE(numbers) != size)
      return false;
    PyObject** const items = PySequence_Fast_ITEMS(numbers);
    size_ = static_cast<size_t>(size);
    for (size_t i = 0; i < size_; ++i) {
      if (!PyLong_CheckExact(items[i])) return false;
      int overflow = 0;
      counts_[i] = PyLong_AsLongLongAndOverflow(items[i], &overflow);
      if (overflow != 0 || counts_[i] < 0 || counts_[i] > kMaxRows) return false;
      rows_ += counts_[i];
    }
    return true;
  }
  // From rows to units of the call.
  void lay_out(int64_t units_a_row) {
    int64_t at = 0;
    for (size_t i = 0; i < size_; ++i) {
      offsets_[i] = at;
      at += counts_[i] *= units_a_row;
    }
  }
  int64_t rows() const { return rows_; }
  int64_t of(int rank) const { return counts_[static_cast<size_t>(rank)]; }
  const int64_t* counts() const { return counts_.data(); }
  const int64_t* offsets() const { return offsets_.data(); }

 private:
  static constexpr int64_t kMaxRanks = 64;
  static constexpr int64_t kMaxRows = int64_t{1} << 40;
  std::array<int64_t, kMaxRanks> counts_, offsets_;
  size_t size_ = 0;
  int64_t rows_ = 0;
};

struct Request {
  Collective collective;
  int root;
  PyObject* x;
  PyObject* out;
  Parts* send;
  Parts* receive;

  bool has_out() const { return out != Py_None && out != x; }
};

void use(CollectiveCall* call, const View& input, const View* output) {
  call->input = input.data;
  call->output = output != nullptr ? output->data : nullptr;
}

// all_reduce, and reduce at its root.
bool in_place_or_out(const Request& request, CollectiveCall* call, const KnownType** type) {
  const auto source = view_of(request.x, !request.has_out());
  if (!source) return false;
  call->count = source->count;
  *type = source->type;
  use(call, *source, &*source);
  if (!request.has_out()) return true;
  const auto target = view_of(request.out, true);
  if (!target || target->type != source->type || target->count != source->count) return false;
  if (target->data != source->data && target->overlaps(*source)) return false;
  use(call, *source, &*target);
  return true;
}

// One array is all there is: what a rank that is not the root gives or gets, what a broadcast
// writes.
bool alone(PyObject* object, bool writes, CollectiveCall* call, const KnownType** type) {
  const auto view = view_of(object, writes);
  if (!view) return false;
  call->count = view->count;
  *type = view->type;
  use(call, *view, writes ? &*view : nullptr);
  return true;
}

// `in_parts` and `out_parts`: which of the two holds a part for each rank. `own`: the part that may
// be the other's memory, or -1.
bool apart(const Request& request, int64_t in_parts, int64_t out_parts, int own,
           CollectiveCall* call, const KnownType** type) {
  const auto source = view_of(request.x, false), target = view_of(request.out, true);
  if (!source || !target || source->type != target->type) return false;
  if (source->overlaps(*target)) {
    const View &whole = in_parts > 1 ? *source : *target, &part = in_parts > 1 ? *target : *source;
    if (own < 0 || part.data != whole.data + own * part.bytes()) return false;
  }
  // Dimension 0 is what gets divided.
  if (in_parts > 1 && (source->rows == 0 || source->rows % in_parts != 0)) return false;
  if (source->count * out_parts != target->count * in_parts) return false;
  call->count = source->count / in_parts;
  *type = source->type;
  use(call, *source, &*target);
  return true;
}

// The collectives whose ranks give or get different amounts.
bool in_parts(const Request& request, int rank, CollectiveCall* call, const KnownType** type) {
  const auto source = view_of(request.x, false), target = view_of(request.out, true);
  if (!source || !target || source->type != target->type || source->overlaps(*target) ||
      source->scalar)
    return false;
  const bool gathers = request.collective == Collective::kAllGatherV;
  const bool scatters = request.collective == Collective::kReduceScatterV;
  Parts *const send = gathers ? nullptr : request.send, *const receive =
                                                            scatters ? nullptr : request.receive;
  const int64_t gives = send != nullptr ? send->rows() : receive->of(rank);
  const int64_t gets = receive != nullptr ? receive->rows() : send->of(rank);
  // Of no rows of any width, as of others, without a product that does not fit.
  const bool fits = gets == 0 ? target->count == 0
                              : target->count % gets == 0 && target->count / gets == source->width;
  if (source->rows != gives || !fits) return false;
  // Reductions count elements, all else bytes.
  const int64_t units = source->width * (scatters ? 1 : source->type->item_bytes);
  if (send != nullptr) {
    send->lay_out(units);
    call->send_counts = send->counts();
    call->send_offsets = send->offsets();
  }
  if (receive != nullptr) {
    receive->lay_out(units);
    call->recv_counts = receive->counts();
    call->recv_offsets = receive->offsets();
  }
  *type = source->type;
  use(call, *source, &*target);
  return true;
}

// False: not a call for here. Fills in all but dtype and op, the count in elements.
bool arguments(const Request& request, int rank, int64_t size, CollectiveCall* call,
               const KnownType** type) {
  const bool at_root = rank == request.root;
  switch (request.collective) {
    case Collective::kAllReduce:
      return in_place_or_out(request, call, type);
    case Collective::kReduce:
      return at_root ? in_place_or_out(request, call, type) : alone(request.x, false, call, type);
    case Collective::kBroadcast:
      return alone(request.x, true, call, type);
    case Collective::kGather:
      return at_root ? apart(request, 1, size, -1, call, type)
                     : alone(request.x, false, call, type);
    case Collective::kScatter:
      return at_root ? apart(request, size, 1, -1, call, type)
                     : alone(request.out, true, call, type);
    case Collective::kAllGather:
      return apart(request, 1, size, rank, call, type);
    case Collective::kReduceScatter:
      return apart(request, size, 1, rank, call, type);
    case Collective::kAllToAll:
      return apart(request, size, size, -1, call, type);
    case Collective::kBarrier:
      return true;
    case Collective::kAllGatherV:
      return request.receive != nullptr && in_parts(request, rank, call, type);
    case Collective::kReduceScatterV:
      return request.send != nullptr && in_parts(request, rank, call, type);
    case Collective::kAllToAllV:
      return request.send != nullptr && request.receive != nullptr &&
             in_parts(request, rank, call, type);
  }
  return false;
}

bool reduction(PyObject* name, const KnownType& type, CollectiveCall* call) {
  static constexpr std::pair<std::string_view, ReduceOp> kOps[] = {
      {"sum", ReduceOp::kSum},         {"max", ReduceOp::kMax},
      {"min", ReduceOp::kMin},         {"avg", ReduceOp::kAverage},
      {"average", ReduceOp::kAverage}, {"product", ReduceOp::kProduct},
      {"prod", ReduceOp::kProduct},    {"band", ReduceOp::kBand},
      {"bor", ReduceOp::kBor},         {"bxor", ReduceOp::kBxor}};
  Py_ssize_t length = 0;
  const char* text = PyUnicode_Check(name) ? PyUnicode_AsUTF8AndSize(name, &length) : nullptr;
  if (text == nullptr) {
    PyErr_Clear();
    return false;
  }
  const std::string_view wanted(text, static_cast<size_t>(length));
  for (const auto& [op_name, op] : kOps) {
    if (op_name != wanted) continue;
    call->op = op;
    call->dtype = static_cast<DType>(type.dtype);
    return type.dtype >= 0 && reduce::supported(call->dtype, op);
  }
  return false;
}

constexpr const char* kCapsule = "distos_coll.QuickCalls";

PyObject* quick_call(PyObject* capsule, PyObject* const* args, Py_ssize_t n_args) {
  const auto* self = static_cast<QuickCalls*>(PyCapsule_GetPointer(capsule, kCapsule));
  if (self == nullptr) return nullptr;
  if (n_args != 5 && n_args != 7) {
    PyErr_SetString(PyExc_TypeError,
                    "takes collective, op, root, x, out, and perhaps send and receive counts");
    return nullptr;
  }
  if (self->paused()) Py_RETURN_FALSE;
  Communicator& communicator = self->communicator();
  const long collective = PyLong_AsLong(args[0]), root = PyLong_AsLong(args[2]);
  if (PyErr_Occurred() != nullptr) {
    PyErr_Clear();
    Py_RETURN_FALSE;
  }
  if (collective < 0 || collective >= kCollectiveCount || root < 0 || root >= communicator.size())
    Py_RETURN_FALSE;
  Parts send, receive;
  const auto given = [&](Parts* parts, PyObject* numbers) {
    return numbers == Py_None || parts->read(numbers, communicator.size());
  };
  if (n_args == 7 && !(given(&send, args[5]) && given(&receive, args[6]))) Py_RETURN_FALSE;
  const auto or_none = [&](Parts* parts, Py_ssize_t i) {
    return n_args == 7 && args[i] != Py_None ? parts : nullptr;
  };
  const Request request{static_cast<Collective>(collective),
                        static_cast<int>(root),
                        args[3],
                        args[4],
                        or_none(&send, 5),
                        or_none(&receive, 6)};
  CollectiveCall call;
  call.collective = request.collective;
  call.root = request.root;
  call.options.blocking = true;
  call.options.wide = self->wide();
  const KnownType* type = nullptr;
  if (!arguments(request, communicator.rank(), communicator.size(), &call, &type)) Py_RETURN_FALSE;
  if (is_reducing(request.collective)) {
    if (!reduction(args[1], *type, &call)) Py_RETURN_FALSE;
  } else if (type != nullptr) {
    call.count *= type->item_bytes;
  }

  Code code = Code::kOk;
  std::string error;
  PyThreadState* const thread = PyEval_SaveThread();
  try {
    code = communicator.call(call, &error);
  } catch (const Error& refused) {
    code = refused.code();
    error = refused.what();
  } catch (const std::exception& other) {
    code = Code::kSystem;
    error = other.what();
  }
  PyEval_RestoreThread(thread);
  if (code == Code::kOk) Py_RETURN_TRUE;
  self->fail(code, error);
  return nullptr;
}

PyMethodDef g_method = {"quick",
                        reinterpret_cast<PyCFunction>(reinterpret_cast<void (*)()>(&quick_call)),
                        METH_FASTCALL,
                        "(collective, op, root, x, out[, send counts, receive counts])"
                        " -> whether it was done"};

}  // namespace

void QuickCalls::fail(Code code, const std::string& error) const {
  PyObject* const result =
      PyObject_CallFunction(fail_.ptr(), "is", static_cast<int>(code), error.c_str());
  if (result == nullptr) return;
  Py_DECREF(result);
  PyErr_SetString(PyExc_RuntimeError, error.c_str());
}

py::object QuickCalls::function(const py::object& self) {
  // The capsule holds the Python object, and that all the rest.
  PyObject* const capsule = PyCapsule_New(self.cast<QuickCalls*>(), kCapsule, [](PyObject* ended) {
    Py_DECREF(static_cast<PyObject*>(PyCapsule_GetContext(ended)));
  });
  if (capsule == nullptr) throw py::error_already_set();
  PyCapsule_SetContext(capsule, py::object(self).release().ptr());
  PyObject* const made = PyCFunction_New(&g_method, capsule);
  Py_DECREF(capsule);
  if (made == nullptr) throw py::error_already_set();
  return py::reinterpret_steal<py::object>(made);
}

void bind_quick(py::module_& m) {
  py::class_<QuickCalls>(m, "QuickCalls")
      .def("pause", &QuickCalls::pause, arg("paused"))
      .def("function", [](const py::object& self) { return QuickCalls::function(self); });
  m.def("learn_type", &learn_type, arg("descriptor"), arg("item_bytes"), arg("dtype"));
}

}  // namespace distos_coll
