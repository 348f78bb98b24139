// The core as Python sees it, without torch: runtimes, stores and communicators on raw addresses.
// Callers own the memory and keep it alive. Every call that may wait releases the GIL.
#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

#include <memory>
#include <optional>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

#include "bind/quick.h"
#include "bind/verify.h"
#include "capi/default_runtime.h"
#include "comm/board_store.h"
#include "comm/communicator.h"
#include "comm/interrupt.h"
#include "comm/job_store.h"
#include "comm/regions.h"
#include "comm/seal.h"
#include "comm/shrink.h"
#include "comm/store.h"
#include "program/ir.h"
#include "python/signals.h"
#include "reduce/reduce.h"
#include "transport/interfaces.h"

namespace py = pybind11;
using py::arg;

namespace distos_coll {
namespace {

std::vector<std::string> own_addresses(const std::string& interfaces) {
  std::vector<std::string> out;
  for (const InterfaceAddress& each : choose_addresses(list_addresses(), interfaces).usable) {
    if (!each.loopback) out.push_back(each.ip);
  }
  return out;
}

// One call of the kernels that programs use, so that their speed can be measured.
void reduce_sum(int dtype, uintptr_t dst, const std::vector<uintptr_t>& sources, size_t count) {
  std::vector<const void*> srcs;
  srcs.reserve(sources.size());
  for (const uintptr_t each : sources) srcs.push_back(reinterpret_cast<const void*>(each));
  if (dtype < 0 || dtype >= kDTypeCount || srcs.empty())
    throw py::value_error("reduce_sum: no such dtype, or no sources");
  reduce::kernels().reduce[dtype][static_cast<int>(ReduceOp::kSum)](
      reinterpret_cast<void*>(dst), srcs.data(), srcs.size(), count, 1);
}

using Vector = std::optional<std::vector<int64_t>>;
using NoGil = py::call_guard<py::gil_scoped_release>;

// What a Python object owns a share of. The last share may go while Python destroys its object, and
// then the end waits for other ranks, which need the GIL if they are threads of this process.
template <typename T>
class Share {
 public:
  explicit Share(std::shared_ptr<T> owned) : owned_(std::move(owned)) {}
  Share(const Share&) = default;
  Share(Share&&) noexcept = default;
  Share& operator=(const Share&) = delete;
  Share& operator=(Share&&) = delete;
  ~Share() {
    if (!owned_) return;
    std::optional<py::gil_scoped_release> no_gil;
    if (Py_IsInitialized() != 0 && PyGILState_Check() != 0) no_gil.emplace();
    owned_.reset();
  }

  T* operator->() const { return owned_.get(); }
  T& operator*() const { return *owned_; }
  const std::shared_ptr<T>& get() const { return owned_; }

 private:
  std::shared_ptr<T> owned_;
};

// A runtime with its engine. Ranks that are threads have one each.
class PyRuntime {
 public:
  explicit PyRuntime(const std::string& settings_text)
      : engine_(std::make_shared<Engine>(Runtime::create(Settings::parse(settings_text)))) {}
  explicit PyRuntime(std::shared_ptr<Engine> engine) : engine_(std::move(engine)) {}

  const std::shared_ptr<Engine>& engine() const { return engine_.get(); }
  std::string describe() const { return engine_->runtime().describe(); }
  void shutdown() {
    engine_->stop();
    engine_->runtime().shutdown();
  }

 private:
  Share<Engine> engine_;
};

class PyWork {
 public:
  PyWork(Ref<Work> work, Share<Communicator> communicator)
      : work_(std::move(work)), communicator_(std::move(communicator)) {}

  bool wait(int64_t timeout_ms) { return communicator_->wait(*work_, timeout_ms); }
  bool test() {
    if (!work_->done()) communicator_->progress();
    return work_->done();
  }
  int code() const { return static_cast<int>(work_->code()); }
  std::string error() const { return work_->error(); }
  int source() const { return work_->source(); }
  std::string algorithm() const { return work_->algorithm(); }

 private:
  Ref<Work> work_;
  Share<Communicator> communicator_;
};

// Registered memory, which whoever views it keeps.
struct PyMemory {
  std::shared_ptr<std::byte> data;
  size_t bytes = 0;
};

class PyCommunicator {
 public:
  PyCommunicator(const PyRuntime& runtime, const std::shared_ptr<Store>& store, int rank, int size,
                 int64_t timeout_ms, const std::string& name, const std::vector<int>& job_ranks)
      : communicator_(Communicator::connect(runtime.engine(), *store,
                                            {rank, size, timeout_ms, name, job_ranks})) {}

  std::vector<int> domain_of() const {
    std::vector<int> out;
    for (const MemberInfo& member : communicator_->members()) out.push_back(member.domain);
    return out;
  }
  std::vector<int> domain_bits() const {
    std::vector<int> out;
    for (const MemberInfo& member : communicator_->members()) out.push_back(member.bits());
    return out;
  }
  std::vector<std::string> hosts() const {
    std::vector<std::string> out;
    for (const MemberInfo& member : communicator_->members()) out.push_back(member.host);
    return out;
  }

  PyWork enqueue(int collective, int dtype, int op, int root, uintptr_t input, uintptr_t output,
                 int64_t count, const Vector& send_counts, const Vector& send_offsets,
                 const Vector& recv_counts, const Vector& recv_offsets, int64_t timeout_ms,
                 bool blocking, bool wide) {
    const auto data = [&](const Vector& vector, const char* name) -> const int64_t* {
      if (!vector) return nullptr;
      if (vector->size() != static_cast<size_t>(communicator_->size())) {
        throw Error(Code::kInvalid, strf("%s has %zu entries, the group has %d ranks", name,
                                         vector->size(), communicator_->size()));
      }
      return vector->data();
    };
    const auto check = [](int value, int count, const char* what) {
      if (value < 0 || value >= count) {
        throw Error(Code::kInvalid, strf("%s %d does not exist", what, value));
      }
    };
    check(collective, kCollectiveCount, "collective");
    check(dtype, kDTypeCount, "dtype");
    check(op, kReduceOpCount, "reduction");
    CollectiveCall call;
    call.collective = static_cast<Collective>(collective);
    call.dtype = static_cast<DType>(dtype);
    call.op = static_cast<ReduceOp>(op);
    call.root = root;
    call.input = reinterpret_cast<const void*>(input);
    call.output = reinterpret_cast<void*>(output);
    call.count = count;
    call.send_counts = data(send_counts, "send_counts");
    call.send_offsets = data(send_offsets, "send_offsets");
    call.recv_counts = data(recv_counts, "recv_counts");
    call.recv_offsets = data(recv_offsets, "recv_offsets");
    call.options.timeout_ms = timeout_ms;
    call.options.blocking = blocking;
    call.options.wide = wide;
    return {communicator_->enqueue(call), communicator_};
  }

  PyWork send(uintptr_t data, size_t bytes, int dest, int64_t tag, int64_t timeout_ms,
              bool blocking) {
    CallOptions options;
    options.timeout_ms = timeout_ms;
    options.blocking = blocking;
    return {communicator_->send(reinterpret_cast<const void*>(data), bytes, dest, tag, options),
            communicator_};
  }
  PyWork receive(uintptr_t data, size_t bytes, int source, int64_t tag, int64_t timeout_ms,
                 bool blocking) {
    CallOptions options;
    options.timeout_ms = timeout_ms;
    options.blocking = blocking;
    return {communicator_->receive(reinterpret_cast<void*>(data), bytes, source, tag, options),
            communicator_};
  }

  std::tuple<size_t, size_t, size_t, size_t, size_t> memory_use() {
    const MemoryUse use = communicator_->memory_use();
    return {use.window, use.window_touched, use.scratch, use.queued, use.registered};
  }

  Communicator& operator*() const { return *communicator_; }
  const std::shared_ptr<Communicator>& get() const { return communicator_.get(); }

 private:
  Share<Communicator> communicator_;
};

// Rank 0's end serves the others.
class PyJobStore final : public Store {
 public:
  PyJobStore(const MeetingPoint& point, bool serves, int64_t timeout_ms) {
    if (serves) server_ = std::make_unique<JobStoreServer>(point);
    client_ = std::make_unique<JobStoreClient>(point, deadline_after(timeout_ms));
  }
  void set(const std::string& key, const std::string& value) override { client_->set(key, value); }
  std::optional<std::string> get(const std::string& key, int64_t timeout_ms) override {
    return client_->get(key, timeout_ms);
  }
  void release(const std::string& prefix, int ranks) override { client_->release(prefix, ranks); }
  int64_t keys() const { return server_ ? server_->keys() : 0; }
  int64_t dropped() const { return server_ ? server_->dropped() : 0; }

 private:
  std::unique_ptr<JobStoreServer> server_;
  std::unique_ptr<JobStoreClient> client_;
};

void bind_stores(py::module_& m) {
  py::class_<Store, std::shared_ptr<Store>>(m, "Store")
      .def(
          "set",
          [](Store& self, const std::string& key, const py::bytes& value) {
            const std::string text = value;
            const py::gil_scoped_release no_gil;
            self.set(key, text);
          },
          arg("key"), arg("value"))
      .def(
          "get",
          [](Store& self, const std::string& key, int64_t timeout_ms) -> std::optional<py::bytes> {
            std::optional<std::string> value;
            {
              const py::gil_scoped_release no_gil;
              value = self.get(key, timeout_ms);
            }
            if (!value) return std::nullopt;
            return py::bytes(*value);
          },
          arg("key"), arg("timeout_ms"));
  py::class_<MemoryStore, Store, std::shared_ptr<MemoryStore>>(m, "MemoryStore").def(py::init<>());
  py::class_<PrefixStore, Store, std::shared_ptr<PrefixStore>>(m, "PrefixStore")
      .def(py::init<std::shared_ptr<Store>, std::string>(), arg("store"), arg("prefix"));
  py::class_<PyJobStore, Store, std::shared_ptr<PyJobStore>>(m, "JobStore")
      .def(py::init([](const std::string& unix_name, const std::vector<std::string>& ips,
                       const std::vector<uint16_t>& ports, const std::string& job,
                       const std::string& key, bool serves, int64_t timeout_ms) {
             return std::make_shared<PyJobStore>(MeetingPoint{unix_name, ips, ports, job, key},
                                                 serves, timeout_ms);
           }),
           arg("unix_name"), arg("ips"), arg("ports"), arg("job"), arg("key"), arg("serves"),
           arg("timeout_ms"), NoGil())
      .def_property_readonly("keys", &PyJobStore::keys, "How many it holds; 0 but at rank 0.")
      .def_property_readonly("dropped", &PyJobStore::dropped);
}

void bind_work(py::module_& m) {
  py::class_<PyWork>(m, "Work")
      .def("wait", &PyWork::wait, arg("timeout_ms") = 0, NoGil())
      .def("test", &PyWork::test, NoGil())
      .def_property_readonly("code", &PyWork::code)
      .def_property_readonly("error", &PyWork::error)
      .def_property_readonly("source", &PyWork::source)
      .def_property_readonly("algorithm", &PyWork::algorithm);
}

void bind_communicator(py::module_& m) {
  py::class_<PyCommunicator>(m, "Communicator")
      .def(py::init<const PyRuntime&, const std::shared_ptr<Store>&, int, int, int64_t,
                    const std::string&, const std::vector<int>&>(),
           arg("runtime"), arg("store"), arg("rank"), arg("size"), arg("timeout_ms"), arg("name"),
           arg("job_ranks") = std::vector<int>(), NoGil())
      .def("domain_of", &PyCommunicator::domain_of)
      .def("domain_bits", &PyCommunicator::domain_bits)
      .def("hosts", &PyCommunicator::hosts)
      .def(
          "install_plan",
          [](PyCommunicator& self, const py::bytes& plan) {
            const std::string text = plan;
            (*self).install_plan(text.data(), text.size());
          },
          arg("plan"))
      .def(
          "ready",
          [](PyCommunicator& self, const std::shared_ptr<Store>& store) { (*self).ready(*store); },
          arg("store"), NoGil())
      .def(
          "give_up",
          [](PyCommunicator& self, const std::shared_ptr<Store>& store, const std::string& why) {
            (*self).give_up(*store, why);
          },
          arg("store"), arg("why"), NoGil())
      .def(
          "choice",
          [](PyCommunicator& self, int collective, int64_t bytes) {
            return (*self).choice(static_cast<Collective>(collective), bytes).name;
          },
          arg("collective"), arg("bytes"))
      .def("enqueue", &PyCommunicator::enqueue, arg("collective"), arg("dtype"), arg("op"),
           arg("root"), arg("input"), arg("output"), arg("count"), arg("send_counts") = py::none(),
           arg("send_offsets") = py::none(), arg("recv_counts") = py::none(),
           arg("recv_offsets") = py::none(), arg("timeout_ms") = 0, arg("blocking") = true,
           arg("wide") = false, NoGil())
      .def("send", &PyCommunicator::send, arg("data"), arg("bytes"), arg("dest"), arg("tag") = 0,
           arg("timeout_ms") = 0, arg("blocking") = true, NoGil())
      .def("receive", &PyCommunicator::receive, arg("data"), arg("bytes"), arg("source"),
           arg("tag") = 0, arg("timeout_ms") = 0, arg("blocking") = true, NoGil())
      .def(
          "monitored_barrier",
          [](PyCommunicator& self, int64_t timeout_ms, bool wait_all_ranks) {
            (*self).monitored_barrier(timeout_ms, wait_all_ranks);
          },
          arg("timeout_ms") = 0, arg("wait_all_ranks") = false, NoGil())
      .def(
          "abort", [](PyCommunicator& self, const std::string& reason) { (*self).abort(reason); },
          arg("reason"), NoGil())
      .def(
          "set_timeout",
          [](PyCommunicator& self, int64_t timeout_ms) { (*self).set_timeout(timeout_ms); },
          arg("timeout_ms"))
      .def("memory_use", &PyCommunicator::memory_use, NoGil())
      .def(
          "quick_calls",
          [](const py::object& self, const py::object& fail, bool wide) {
            return std::make_unique<QuickCalls>(self, *self.cast<PyCommunicator&>(), fail, wide);
          },
          arg("fail"), arg("wide"))
      .def(
          "close", [](PyCommunicator& self) { (*self).close(); }, NoGil())
      .def_property_readonly("rank", [](const PyCommunicator& self) { return (*self).rank(); })
      .def_property_readonly("size", [](const PyCommunicator& self) { return (*self).size(); });
}

void bind_memory(py::module_& m) {
  py::class_<PyMemory>(m, "Memory", py::buffer_protocol()).def_buffer([](const PyMemory& self) {
    return py::buffer_info(reinterpret_cast<uint8_t*>(self.data.get()),
                           static_cast<py::ssize_t>(self.bytes));
  });
  m.def(
      "allocate",
      [](const PyCommunicator& communicator, size_t bytes) -> std::optional<py::memoryview> {
        PyMemory memory{nullptr, bytes};
        {
          const py::gil_scoped_release no_gil;
          memory.data = (*communicator).shared_engine()->runtime().regions()->allocate(bytes);
        }
        if (!memory.data) return std::nullopt;
        return py::memoryview(py::cast(std::move(memory)));
      },
      arg("communicator"), arg("bytes"),
      "Registered memory, which lives as long as the view and what is made of it; None where it "
      "would make no difference.");
}

// They hold their parent; that its Python object lives as long keeps its end out of the GIL.
void bind_parts(py::module_& m) {
  py::class_<BoardStore, Store, std::shared_ptr<BoardStore>>(m, "BoardStore")
      .def(py::init(
               [](const PyCommunicator& parent, std::vector<int> members, const std::string& name) {
                 return std::make_shared<BoardStore>(parent.get(), std::move(members), name);
               }),
           arg("parent"), arg("members"), arg("name"), py::keep_alive<1, 2>());
  py::class_<Shrink, Store, std::shared_ptr<Shrink>>(m, "Shrink")
      .def(py::init([](const PyCommunicator& parent, const std::vector<int>& excluded,
                       int64_t timeout_ms) {
             return std::make_shared<Shrink>(parent.get(), excluded, timeout_ms);
           }),
           arg("parent"), arg("excluded"), arg("timeout_ms"), py::keep_alive<1, 2>())
      .def("agree", &Shrink::agree, NoGil())
      .def("overtaken", &Shrink::overtaken, NoGil())
      .def_property_readonly("ranks", &Shrink::ranks)
      .def_property_readonly("call", &Shrink::call);
}

}  // namespace

PYBIND11_MODULE(_native, m) {
  m.doc() = "Native core of distos_coll.";
  m.attr("__version__") = DISTOS_COLL_VERSION;

  // Python's own error class carries the code; distos_coll.testing turns it into the tree of
  // distos_coll.errors.
  PYBIND11_CONSTINIT static py::gil_safe_call_once_and_store<py::object> error_class;
  error_class.call_once_and_store_result([&] { return py::exception<Error>(m, "NativeError"); });
  set_interrupt_check([] { return python_interrupts() != 0; });
  py::register_exception_translator([](std::exception_ptr pointer) {
    try {
      if (pointer) std::rethrow_exception(pointer);
    } catch (const Error& error) {
      if (error.code() == Code::kAborted && restore_python_interrupt()) return;
      py::object instance = error_class.get_stored()(error.what());
      instance.attr("code") = static_cast<int>(error.code());
      PyErr_SetObject(error_class.get_stored().ptr(), instance.ptr());
    }
  });

  bind_stores(m);
  py::class_<PyRuntime>(m, "Runtime")
      .def(py::init<const std::string&>(), arg("settings_text") = "", NoGil())
      .def_static(
          "default",
          [](const std::string& settings_text) {
            configure_default_runtime(settings_text);
            return PyRuntime(default_engine());
          },
          arg("settings_text") = "", NoGil())
      .def("describe", &PyRuntime::describe, NoGil())
      .def("shutdown", &PyRuntime::shutdown, NoGil());
  bind_quick(m);
  bind_work(m);
  bind_communicator(m);
  bind_memory(m);
  bind_parts(m);
  bind_verify(m);

  m.def(
      "raise_interrupt",
      [] {
        if (restore_python_interrupt()) throw py::error_already_set();
      },
      "Raises what a signal handler raised while this thread waited in the core.");
  m.def("shutdown", &shutdown_default_runtime, NoGil());
  m.def("write_flight_records", &write_flight_records, arg("prefix") = py::none(), NoGil(),
        "Writes what this process called last, one file for each rank in it; returns their paths.");
  m.def("read_job_key", &read_job_key, arg("path"));
  m.def("own_addresses", &own_addresses, arg("interfaces"),
        "Addresses of this host that others may reach, best first.");
  m.def("reduce_sum", &reduce_sum, arg("dtype"), arg("dst"), arg("sources"), arg("count"), NoGil(),
        "dst = the sum of the sources, arrays of `count` elements, by the kernels in use.");
  m.def("isa", [] { return std::string(reduce::kernels().isa); });
  m.def(
      "check_plan",
      [](const py::bytes& plan, int64_t size) {
        const std::string text = plan;
        program::decode_plan(text.data(), text.size(), size);
      },
      arg("plan"), arg("size"), "Raises NativeError if the plan would be refused.");
}

}  // namespace distos_coll
