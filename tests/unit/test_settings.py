import logging
import re
from pathlib import Path

import pytest
from error_page import raises

from distos_coll import settings
from distos_coll.settings import Settings

CORE_HEADER = Path(__file__).parents[2] / "cpp/core/settings.h"


def core_fields() -> dict[str, str]:
    text = CORE_HEADER.read_text()
    kinds = "bool|size_t|int64_t|std::string"
    found = re.findall(rf"^  (?:{kinds}) (\w+)(?: =\s+([^;]+))?;", text, re.M)
    return dict(found)


def test_the_core_has_the_same_names_and_defaults() -> None:
    def plain(value: str) -> str:
        return {"true": "1", "false": "0", "": ""}.get(value) or (value and str(eval(value)))

    lines = Settings().native_text().splitlines()
    assert lines == [f"{name}={plain(default)}" for name, default in core_fields().items()]


def test_an_empty_environment_and_empty_variables_are_the_defaults() -> None:
    assert Settings.from_env({}) == Settings()
    assert Settings.from_env({"DISTOS_COLL_SLOT_BYTES": "", "PATH": "/bin"}) == Settings()


@pytest.mark.parametrize(
    ("variable", "text", "field", "value"),
    [
        ("SHM", "off", "shm", False),
        ("WIDE_REDUCE", "Yes", "wide_reduce", True),
        ("SLOT_BYTES", "64K", "slot_bytes", 64 << 10),
        ("SLOT_BYTES", "2 MiB", "slot_bytes", 2 << 20),
        ("SLOT_BYTES", "1g", "slot_bytes", 1 << 30),
        ("SPIN_US", "0", "spin_us", 0),
        ("INTERFACES", "=eth0,ib", "interfaces", "=eth0,ib"),
        ("ISA", "AVX2", "isa", "avx2"),
        ("DEBUG", "info", "debug", "INFO"),
        ("ALGO", " allreduce:ring;broadcast:^tree ", "algo", "allreduce:ring;broadcast:^tree"),
    ],
)
def test_values(variable: str, text: str, field: str, value: object) -> None:
    read = Settings.from_env({f"DISTOS_COLL_{variable}": text})
    assert getattr(read, field) == value


@pytest.mark.parametrize(
    ("variable", "text"),
    [
        ("SHM", "maybe"),
        ("SLOT_BYTES", "1T"),
        ("SLOT_BYTES", "-1"),
        ("SLOT_BYTES", "1.5M"),
        ("SLOT_BYTES", "2G"),
        ("SLOT_BYTES", "²"),
        ("SPIN_US", "fast"),
        ("HEARTBEAT_MS", "1"),
        ("ISA", "sse"),
        ("DEBUG", "LOUD"),
        ("HOST_ID", "a\nshm=0"),
    ],
)
def test_a_bad_value_is_an_error_that_shows_it(variable: str, text: str) -> None:
    with raises("setting-value", re.escape(f"DISTOS_COLL_{variable}={text!r}: expected")):
        Settings.from_env({f"DISTOS_COLL_{variable}": text})


def test_every_mistake_is_named_at_once_with_a_suggestion() -> None:
    with raises("setting-unknown") as caught:
        Settings.from_env(
            {"DISTOS_COLL_SLOT_BYTE": "1M", "DISTOS_COLL_ZZZ": "1", "DISTOS_COLL_TCP": "perhaps"}
        )
    text = str(caught.value)
    assert "DISTOS_COLL_SLOT_BYTE is not a setting, did you mean DISTOS_COLL_SLOT_BYTES?" in text
    assert "DISTOS_COLL_ZZZ is not a setting (unset it)" in text
    assert "DISTOS_COLL_TCP='perhaps'" in text


def test_plugins_have_their_own_prefix() -> None:
    assert Settings.from_env({"DISTOS_COLL_X_ANYTHING": "1"}) == Settings()


def test_no_transport_at_all_is_refused() -> None:
    with raises("no-transport"):
        Settings.from_env({"DISTOS_COLL_SHM": "0", "DISTOS_COLL_TCP": "0"})


def test_a_signal_without_a_file_is_refused() -> None:
    with raises("flight-signal"):
        Settings.from_env({"DISTOS_COLL_FLIGHT_SIGNAL": "sigusr1"})
    both = {"DISTOS_COLL_FLIGHT_SIGNAL": "sigusr1", "DISTOS_COLL_FLIGHT_FILE": "/x/r"}
    assert Settings.from_env(both).flight_signal == "SIGUSR1"


def test_nccl_variables_are_aliases_and_ours_win() -> None:
    nccl = {"NCCL_SOCKET_IFNAME": "ib", "NCCL_ALGO": "Ring", "NCCL_DEBUG": "TRACE"}
    read = Settings.from_env(nccl)
    assert (read.interfaces, read.algo, read.debug) == ("ib", "ring", "INFO")
    assert Settings.from_env({**nccl, "DISTOS_COLL_ALGO": "tree"}).algo == "tree"
    assert Settings.warnings(nccl) == ()


def test_nccl_values_without_meaning_are_dropped_with_a_warning() -> None:
    environ = {
        "NCCL_ALGO": "allreduce:NVLS,Tree;reduce:^PAT",
        "NCCL_PROTO": "LL",
        "NCCL_DEBUG": "X",
    }
    assert Settings.from_env(environ) == Settings(algo="allreduce:tree")
    said = " ".join(Settings.warnings(environ))
    assert all(word in said for word in ("NCCL_PROTO", "nvls, pat", "NCCL_DEBUG=X"))
    assert Settings.from_env({"NCCL_ALGO": "NVLS"}).algo == ""


def test_load_warns_once(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    monkeypatch.setenv("NCCL_PROTO", "Simple")
    monkeypatch.setattr(settings, "_warned", set())
    with caplog.at_level(logging.WARNING, logger="distos_coll"):
        settings.load()
        settings.load()
    assert [record.levelname for record in caplog.records] == ["WARNING"]


def test_plan_affecting_text_follows_what_ranks_must_agree_on() -> None:
    base = Settings().plan_affecting()
    assert Settings(slot_bytes=4096).plan_affecting() != base
    assert Settings(algo="ring").plan_affecting() != base
    assert Settings(spin_us=1, isa="generic", debug="INFO").plan_affecting() == base
