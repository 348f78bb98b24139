#include "bind/verify.h"

#include <pybind11/stl.h>

#include <array>
#include <optional>
#include <string>
#include <tuple>
#include <utility>
#include <variant>
#include <vector>

#include "core/status.h"
#include "program/decode.h"
#include "verify/verifier.h"

namespace py = pybind11;
using py::arg;

namespace distos_coll {
namespace {

using Numbers = std::vector<int64_t>;
// n_in, n_out, in_base, out_base, arrays, expected
using PyRankCall = std::tuple<int64_t, int64_t, int64_t, int64_t, std::vector<Numbers>,
                              std::vector<std::array<int64_t, 4>>>;
// rank, lane, instruction, operands
using PyPlace = std::tuple<int64_t, int64_t, int64_t, std::optional<Numbers>>;
using PyPart = std::variant<std::string, PyPlace>;

void raise_interrupts() {
  const py::gil_scoped_acquire gil;
  if (PyErr_CheckSignals() != 0) throw py::error_already_set();
}

PyPart python_part(const verify::Fault::Part& part) {
  if (const auto* text = std::get_if<std::string>(&part)) return *text;
  const auto& place = std::get<verify::Place>(part);
  std::optional<Numbers> operands;
  if (place.evaluated) operands.emplace(std::begin(place.operands), std::end(place.operands));
  return PyPlace{place.rank, place.lane, place.at, operands};
}

verify::Call native_call(const Numbers& params, const std::vector<PyRankCall>& ranks) {
  verify::Call call;
  if (params.size() != static_cast<size_t>(program::kParamCount))
    throw Error(Code::kInvalid, strf("a call has %zu parameters", params.size()));
  std::copy(params.begin(), params.end(), std::begin(call.params));
  for (const auto& [n_in, n_out, in_base, out_base, arrays, expected] : ranks) {
    verify::RankCall& own = call.ranks.emplace_back();
    own = {n_in, n_out, in_base, out_base, arrays, {}};
    own.expected.reserve(expected.size());
    for (const auto& [at, count, index, rank] : expected)
      own.expected.push_back({at, count, index, rank});
  }
  return call;
}

}  // namespace

void bind_verify(py::module_& m) {
  using verify::Verifier;
  py::class_<Verifier>(m, "Verifier",
                       "Runs all ranks of a program on symbols; distos_coll/program/verify.py.")
      .def(py::init([](const py::bytes& program, const std::string& label, Numbers domain_of,
                       std::vector<Numbers> arrays, bool in_rank_order) {
             const std::string bytes = program;
             return Verifier(program::decode_program(bytes.data(), bytes.size()), label,
                             std::move(domain_of), std::move(arrays), in_rank_order,
                             raise_interrupts);
           }),
           arg("program"), arg("label"), arg("domain_of"), arg("arrays"), arg("in_rank_order"))
      .def(
          "run",
          [](Verifier& self, const Numbers& params, const std::vector<PyRankCall>& ranks,
             int64_t credit, bool descending) {
            const verify::Call call = native_call(params, ranks);
            std::optional<verify::Fault> fault;
            {
              const py::gil_scoped_release no_gil;
              fault = self.run(call, {credit, descending});
            }
            std::optional<std::vector<PyPart>> parts;
            if (fault) {
              parts.emplace();
              for (const auto& each : fault->parts) parts->push_back(python_part(each));
            }
            return parts;
          },
          arg("params"), arg("ranks"), arg("credit"), arg("descending"),
          "None, or what is wrong: text and places (rank, lane, instruction, operands).")
      .def_property_readonly("steps", &Verifier::steps)
      .def_property_readonly("sets", &Verifier::sets);
}

}  // namespace distos_coll
