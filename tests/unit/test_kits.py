"""The kits pass what is built in, and find what is planted."""

import time
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from plugin_files import star

from distos_coll.api import (
    AlgorithmSpec,
    Collective,
    CostInput,
    CostModelSpec,
    Document,
    Estimate,
    Found,
    HostBuilder,
    InvalidArgument,
    Need,
    Program,
    ProgramBuilder,
    TopologySource,
    build_topology,
    hookimpl,
)
from distos_coll.plugins.kinds import ALGORITHMS, COST_MODELS, SOURCES
from distos_coll.plugins.loading import built_in
from distos_coll.testing import (
    Check,
    algorithm_checks,
    algorithm_kit,
    cost_model_checks,
    topology_source_checks,
)
from distos_coll.testing.kits.running import Group, run_against_numpy
from distos_coll.testing.kits.samples import SAMPLES
from distos_coll.topology.reading import recognise

C = Collective


def module(code: str) -> ModuleType:
    made = ModuleType("planted")
    exec(code, made.__dict__)
    return made


STAR: AlgorithmSpec = module(star()).distos_coll_algorithms()[0]


def failures(checks: Iterable[Check]) -> dict[str, str]:
    """What each check says that does not pass."""
    found = {}
    for check in checks:
        try:
            check.run()
        except AssertionError as error:
            found[check.name] = str(error)
    return found


# ---- algorithms


def one_of_each() -> Iterator[AlgorithmSpec]:
    """The cheapest way to run every collective of the kit."""
    seen = set()
    for _, spec in built_in(ALGORITHMS):
        if spec.collective not in seen and spec.needs == Need(0) and spec.name != "hier":
            seen.add(spec.collective)
            yield spec


@pytest.mark.parametrize("spec", list(one_of_each()), ids=lambda s: f"{s.collective.name}-{s.key}")
def test_built_in_algorithms_pass(spec: AlgorithmSpec) -> None:
    (said,) = failures(algorithm_checks(spec)).items()
    assert said[0].endswith("says what it is")
    assert "is a built-in algorithm; take another name" in said[1]


@pytest.mark.parametrize("variant", ["single_copy", "registered", ""])
def test_what_needs_one_domain_passes(variant: str) -> None:
    specs = [s for _, s in built_in(ALGORITHMS) if (s.name, s.variant) == ("direct1", variant)]
    spec = next(s for s in specs if s.collective in (C.ALL_REDUCE, C.REDUCE))
    assert [name.split(": ")[1] for name in failures(algorithm_checks(spec))] == ["says what it is"]


def test_a_plugin_passes_as_module_object_text_and_spec(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(str(tmp_path))
    (tmp_path / "kit_star.py").write_text(star("kit_star"), encoding="utf-8")

    class Plugin:
        @hookimpl
        def distos_coll_algorithms(self) -> list[AlgorithmSpec]:
            return [STAR]

    assert failures(algorithm_checks(STAR)) == {}
    for subject in (module(star()), Plugin(), "kit_star", [STAR]):
        names = [check.name for check in algorithm_checks(subject)]
        assert len(names) == 21
        assert len(set(names)) == len(names)


def wrong_star(find: str, put: str) -> AlgorithmSpec:
    text = star()
    assert find in text
    return module(text.replace(find, put)).distos_coll_algorithms()[0]  # type: ignore[no-any-return]


@pytest.mark.parametrize(
    ("find", "put", "check", "said"),
    [
        ('doc="a star"', 'doc=" "', "says what it is", "doc is empty"),
        ('AlgorithmSpec("star"', 'AlgorithmSpec("Star,1"', "says what it is", "DISTOS_COLL_ALGO"),
        ('AlgorithmSpec("star"', 'AlgorithmSpec("ring"', "says what it is", "built-in"),
        ('doc="a star"', 'doc="a", segments=()', "says what it is", "at least one positive"),
        ('ProgramBuilder("star"', 'ProgramBuilder("sun"', "builds the program", "another name"),
        ("return p.build()", "return 1 / 0", "builds the program", "could not be built: division"),
        ("return 1e9", "return -1e9", "cost is a number", "moving data takes time"),
        ("return 1e9", "return 1e300 * 1e300", "cost is a number", "must be a number of micros"),
        ("return 1e9", "return 1 / 0", "cost is a number", "ZeroDivisionError"),
        ("c.hop_us(c.bytes)", "(1e9 - c.bytes)", "cost grows with bytes", "it falls from"),
        ("p.finalize(p.output, 0, p.count)", "pass", "is right among 2 ranks", "finalized ["),
        ("p.recv(0, p.output, 0, p.count)", "pass", "is right among 3 ranks", "with domains [0, 0"),
    ],
)
def test_what_is_wrong_with_an_algorithm_is_found(
    find: str, put: str, check: str, said: str
) -> None:
    found = failures(algorithm_checks(wrong_star(find, put)))
    (text,) = (text for name, text in found.items() if name.split(": ")[1].startswith(check))
    assert said in text


def test_a_program_that_depends_on_when_it_is_built() -> None:
    made = []

    def build() -> Program:
        made.append(1)
        p = ProgramBuilder("star", C.BROADCAST)
        p.send((p.rank + len(made)) % p.size, p.output, 0, 0)
        return p.build()

    spec = AlgorithmSpec("star", C.BROADCAST, build, STAR.cost, doc="moody")
    found = failures(algorithm_checks(spec))
    assert (
        "building it twice gives two programs"
        in found["broadcast:star: builds the program that it declares"]
    )


def test_runs_are_compared_with_numpy() -> None:
    """Without `finalize` all but averages come out right."""
    spec = wrong_star("p.finalize(p.output, 0, p.count)", "pass")
    assert run_against_numpy(STAR, Group(3)) == ""
    with pytest.raises(AssertionError, match=r"of int8, average: element \d+ of rank 0's output"):
        run_against_numpy(spec, Group(3))
    found = failures(algorithm_checks(spec))
    assert (
        "it is not run" in found["all_reduce:star: runs as numpy says: 2 ranks that share memory"]
    )


def test_costs_that_remember() -> None:
    asked = []

    def cost(c: CostInput) -> float:
        asked.append(c)
        return float(c.bytes + len(asked))

    found = failures(algorithm_checks(replace(STAR, cost=cost)))
    assert (
        "two answers to one question" in found["all_reduce:star: cost is a number of microseconds"]
    )


def test_a_plugin_that_adds_nothing_is_one_failure() -> None:
    def only(checks: Iterable[Check]) -> str:
        (text,) = failures(checks).values()
        return text

    assert "adds nothing by distos_coll_cost_models()" in only(cost_model_checks(module(star())))
    assert "implements no hook" in only(algorithm_checks(module("x = 1")))
    assert "cannot be imported" in only(algorithm_checks("no_such_plugin_here"))


def test_pytest_runs_the_checks() -> None:
    test = algorithm_kit(STAR)
    (mark,) = test.pytestmark
    assert mark.args[0] == "check"
    assert mark.kwargs["ids"] == [check.name for check in mark.args[1]]
    test(mark.args[1][0])
    skipped = Check("skips", lambda: "no such device")
    with pytest.raises(pytest.skip.Exception, match="no such device"):
        test(skipped)


# ---- cost models


@pytest.mark.parametrize("spec", [spec for _, spec in built_in(COST_MODELS)], ids=lambda s: s.name)
def test_built_in_models_pass(spec: CostModelSpec) -> None:
    assert failures(cost_model_checks(spec)) == {}


def model(predict: Any, **options: str) -> CostModelSpec:
    return CostModelSpec("mine", predict, **{"doc": "mine", **options})


def first_only(job: Any, operation: Any, specs: Any) -> list[Estimate]:
    return [Estimate(s.name, s.variant, time_us=1.0) for s in specs[:1]]


def mutating(job: Any, operation: Any, specs: Any) -> list[Estimate]:
    object.__setattr__(operation, "bytes", 7)
    return [Estimate("a", time_us=1.0)]


_state: list[int] = []


def remembering(job: Any, operation: Any, specs: Any) -> list[Estimate]:
    _state.append(1)
    return [Estimate("a", time_us=float(len(_state)))]


def refusing(*_: Any) -> list[Estimate]:
    raise InvalidArgument("no such job")


@pytest.mark.parametrize(
    ("predict", "check", "said"),
    [
        (lambda *_: [Estimate("a", time_us=float("nan"))], "answers with", "time_us of a is nan"),
        (lambda *_: [Estimate("a", time_us=1.0, fixed_us=2.0)], "answers with", "than the whole"),
        (lambda *_: [Estimate("a")], "answers with", "neither a time nor a reason"),
        (lambda *_: [Estimate("a", time_us=1.0)] * 2, "answers with", "two estimates for one"),
        (lambda *_: [1.0], "answers with", "returns float, and not Estimates"),
        (lambda *_: 1 / 0, "answers with", "raises ZeroDivisionError"),
        (lambda *_: [], "answers with", "no time for any operation"),
        (refusing, "answers with", "no time for any operation"),
        (mutating, "answers with", "changes what it is given"),
        (remembering, "gives one answer", "then"),
        (first_only, "prices every", "but not"),
        (lambda j, o, s: [Estimate("a", time_us=9e9 / (1 + o.bytes))], "times do not", "a falls"),
    ],
)
def test_what_is_wrong_with_a_model_is_found(predict: Any, check: str, said: str) -> None:
    found = failures(cost_model_checks(model(predict)))
    (text,) = (text for name, text in found.items() if name.split(": ")[1].startswith(check))
    assert said in text


# ---- sources of topology


def test_every_format_has_a_sample_that_only_it_takes() -> None:
    sources = [source for _, source in built_in(SOURCES)]
    assert SAMPLES.keys() == {source.name for source in sources} - {"sysfs"}
    for name, data in SAMPLES.items():
        assert recognise(Document(name, data), sources).name == name


@pytest.mark.parametrize(
    "source", [source for _, source in built_in(SOURCES)], ids=lambda source: source.name
)
def test_built_in_sources_pass(source: TopologySource) -> None:
    samples = [SAMPLES[source.name]] if source.name in SAMPLES else []
    assert failures(topology_source_checks(source, samples)) == {}


GOOD = b"hosts v1\nn1\nn2\nn3\n"


def parse(document: Document) -> Found:
    first, *names = document.data.decode("utf-8", "replace").splitlines() or [""]
    if first != "hosts v1":
        raise document.error("does not begin with `hosts v1`", 1)
    for number, name in enumerate(names, 2):
        if not name.isalnum() or not name.isascii() or len(name) > 60:
            raise document.error("a name is letters and digits", number)
    return Found(build_topology(HostBuilder(name) for name in dict.fromkeys(names)))


def write(topology: Any) -> bytes:
    return "\n".join(["hosts v1", *(host.name for host in topology.hosts), ""]).encode()


LIST = TopologySource(
    "hosts-list", "hosts by name", lambda d: d.head.startswith(b"hosts v1"), parse, write
)


def test_a_source_passes() -> None:
    assert failures(topology_source_checks(LIST, [GOOD])) == {}
    names = [check.name for check in topology_source_checks(LIST, {"hosts-list": [GOOD, GOOD]})]
    assert len(names) == 12
    (skipped,) = filter(None, (check.run() for check in topology_source_checks(LIST)))
    assert skipped == "there is no sample; give samples=[...]"


def no_line(document: Document) -> Found:
    if document.data != GOOD:
        raise document.error("is not as it should be")
    return parse(document)


def keeping(document: Document) -> Found:
    kept = [bytes(2 << 20) for _ in range(len(document.data) >> 12)]
    found = parse(Document(document.name, GOOD))
    kept.clear()
    return found


def busy(document: Document) -> Found:
    end = time.thread_time() + 0.1 * (len(document.data) > 1 << 19)
    while time.thread_time() < end:
        pass
    return parse(Document(document.name, GOOD))


counted: list[int] = []


def counting(document: Document) -> Found:
    counted.append(1)
    return Found(build_topology([HostBuilder(f"n{len(counted)}")]))


@pytest.mark.parametrize(
    ("change", "check", "said"),
    [
        ({"name": "Hosts List"}, "says what it is", "lower-case letters"),
        ({"doc": ""}, "says what it is", "doc is empty"),
        ({"recognise": lambda d: True, "rank": 9}, "takes no other", "a document of cluster-topo"),
        ({"recognise": lambda d: True}, "recognises without", "it recognises nothing as its own"),
        ({"recognise": lambda d: d.data[0] == 104}, "recognises without", "IndexError"),
        ({"recognise": lambda d: 1}, "recognises without", "answers 1 for"),
        ({"recognise": lambda d: False}, "reads sample", "does not recognise its own sample"),
        (
            {"parse": lambda d: parse(Document(d.name, d.data.decode().encode()))},
            "refuses what",
            "UnicodeDecodeError",
        ),
        ({"parse": lambda d: None}, "refuses what", "parse() returns NoneType"),
        (
            {"parse": lambda d: parse(Document("x", d.data))},
            "refuses what",
            "not name the document",
        ),
        ({"parse": no_line}, "reads or refuses", "never with a line"),
        ({"parse": counting, "write": None}, "reads sample", "twice gives different results"),
        ({"parse": keeping}, "stays within", "bytes of memory for a document of"),
        ({"parse": busy}, "stays within", "s for a document of"),
        ({"write": lambda t: b"hosts v1\nn9\n"}, "writes sample", "is another topology"),
        ({"write": lambda t: b"hosts"}, "writes sample", "cannot read what it wrote"),
    ],
)
def test_what_is_wrong_with_a_source_is_found(
    change: dict[str, Any], check: str, said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    from distos_coll.testing.kits import sources

    monkeypatch.setattr(sources, "_SECONDS", 0.05 if change.get("parse") is busy else 60.0)
    found = failures(topology_source_checks(replace(LIST, **change), [GOOD]))
    (text,) = (text for name, text in found.items() if name.split(": ")[1].startswith(check))
    assert said in text


def test_a_built_in_source_that_takes_the_sample_is_named() -> None:
    greedy = replace(
        LIST, recognise=lambda d: d.head.startswith((b"hosts v1", b"<system")), rank=-5
    )
    found = failures(topology_source_checks(greedy, [SAMPLES["nccl-xml"]]))
    assert "nccl-xml would read" in found["hosts-list: reads sample 0"]
