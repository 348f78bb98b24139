// The Python module distos_coll.torch._c10d. It is compiled against torch's headers and torch's own
// copy of pybind11, and must be loaded with that very torch only; distos_coll/torch/loader.py
// checks this before it imports the module.

#include <pybind11/chrono.h>
#include <torch/csrc/utils/pybind.h>

#include <string>
#include <utility>

#include "python/signals.h"
#include "torch/backend.h"

namespace distos_coll::torch_door {

namespace {

// The planner is Python, the thread that asks for a plan holds no GIL, and an exception must not
// cross as a Python object that is destroyed without it.
template <typename... Arguments>
std::string planned(const py::object& callable, const Arguments&... arguments) {
  const py::gil_scoped_acquire gil;
  try {
    const py::object answer = callable(arguments...);
    return answer.is_none() ? std::string() : py::cast<std::string>(py::bytes(answer));
  } catch (py::error_already_set& error) {
    const std::string text = error.what();
    TORCH_CHECK(false, "distos: planning failed: ", text);
  }
}

Planner planner_of(py::object plan, py::object profile) {
  // Leaked on purpose: the slot outlives the interpreter.
  auto* planning = new py::object(std::move(plan));
  auto* sharing = new py::object(std::move(profile));
  return {[sharing](int size) { return planned(*sharing, size); },
          [planning](const PlanRequest& request) {
            const py::gil_scoped_acquire gil;  // for the bytes
            return planned(*planning, request.name, request.rank, request.domain_of,
                           request.domain_bits, py::bytes(request.profile), request.hosts);
          }};
}

void configure(const std::string& settings) {
  const int code = dc_runtime_configure(settings.c_str());
  TORCH_CHECK_VALUE(code == 0, "distos: ", dc_last_error());
}

c10::intrusive_ptr<ProcessGroupDistos> create(
    const c10::intrusive_ptr<c10d::Store>& store, int rank, int size,
    const c10::intrusive_ptr<ProcessGroupDistos::Options>& options) {
  return ProcessGroupDistos::create(store, rank, size, options);
}

void bind_options(py::object& scope, const py::object& base) {
  using Options = ProcessGroupDistos::Options;
  py::class_<Options, c10::intrusive_ptr<Options>>(scope, "Options", base)
      .def(py::init([](std::chrono::milliseconds timeout, bool float32_on_wire) {
             auto options = c10::make_intrusive<Options>(timeout);
             options->float32_on_wire = float32_on_wire;
             return options;
           }),
           py::arg("timeout") = std::chrono::milliseconds(kBackendDefaultTimeout), py::kw_only(),
           py::arg("float32_on_wire") = false)
      .def_readwrite("float32_on_wire", &Options::float32_on_wire);
}

void bind_backend(py::module& module) {
  const py::module c10d_module = py::module::import("torch._C._distributed_c10d");
  py::object backend_base = c10d_module.attr("Backend");
  py::object backend =
      py::class_<ProcessGroupDistos, c10::intrusive_ptr<ProcessGroupDistos>>(
          module, "ProcessGroupDistos", backend_base)
          .def_property_readonly(
              "options",
              [](const c10::intrusive_ptr<ProcessGroupDistos>& self) {
                return c10::static_intrusive_pointer_cast<ProcessGroupDistos::Options>(
                    self->getBackendOptions());
              })
          .def_property_readonly("topology",
                                 [](const ProcessGroupDistos& self) {
                                   const PlanRequest& known = self.topology();
                                   return py::make_tuple(known.size, known.domain_of,
                                                         known.domain_bits,
                                                         py::bytes(known.profile), known.hosts);
                                 })
          .def("choice", &ProcessGroupDistos::choice, py::arg("collective"), py::arg("bytes"),
               py::call_guard<py::gil_scoped_release>());
  bind_options(backend, backend_base.attr("Options"));
}

}  // namespace

PYBIND11_MODULE(_c10d, module) {
  dc_set_interrupt_check(&python_interrupts);
  bind_backend(module);
  module.def("create", &create, py::arg("store"), py::arg("rank"), py::arg("size"),
             py::arg("options"), py::call_guard<py::gil_scoped_release>());
  module.def(
      "set_planner",
      [](py::object plan, py::object profile) {
        set_planner(planner_of(std::move(plan), std::move(profile)));
      },
      py::arg("plan"), py::arg("profile"));
  module.def("configure", &configure, py::arg("settings"));
  module.def("close_all", &Group::close_all, py::arg("timeout_ms"),
             py::call_guard<py::gil_scoped_release>());
  module.def(
      "describe_links", [] { return std::string(dc_runtime_describe()); },
      py::call_guard<py::gil_scoped_release>());
  module.def("core_version", [] { return std::string(dc_version()); });
}

}  // namespace distos_coll::torch_door
