"""`distos-coll doctor` on this machine, and on machines that lack something."""

import json
import os
import resource
from collections.abc import Iterator
from pathlib import Path

import pytest
from error_page import says
from typer.testing import CliRunner

from distos_coll import doctor, profiles
from distos_coll.cli.app import app
from distos_coll.doctor import Finding
from distos_coll.planner.profile import BUILT_IN
from distos_coll.profiles import Stored
from distos_coll.settings import Settings


def found(check: doctor.Check) -> dict[str, Finding]:
    return {finding.about: finding for finding in check()}


def test_this_machine_is_well() -> None:
    result = CliRunner().invoke(app, ["doctor", "--json"])
    assert result.exit_code == 0, result.output
    findings = {entry["about"]: entry for entry in json.loads(result.output)}
    assert findings["shared memory"]["status"] == "good"
    assert findings["TCP on this host"]["status"] == "good"
    assert "port" in findings["addresses"]["text"] or findings["addresses"]["status"] == "note"


def test_for_people_it_is_a_table() -> None:
    result = CliRunner().invoke(app, ["doctor"])
    assert result.exit_code == 0
    assert "reduction kernels" in result.output


def test_what_is_bad_ends_with_1(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DISTOS_COLL_SLOT_BITES", "1")
    result = CliRunner().invoke(app, ["doctor", "--json"])
    assert result.exit_code == 1
    texts = [e["text"] for e in json.loads(result.output) if e["status"] == "bad"]
    assert any("did you mean DISTOS_COLL_SLOT_BYTES" in text for text in texts)


def test_a_check_that_breaks_is_a_finding(monkeypatch: pytest.MonkeyPatch) -> None:
    def _broken_check() -> Iterator[Finding]:
        raise OSError("no such thing")

    monkeypatch.setattr(doctor, "CHECKS", (_broken_check,))
    assert doctor.examine() == [Finding("broken check", "bad", "OSError: no such thing")]


def test_few_files_and_one_core(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resource, "getrlimit", lambda _: (1024, 524288))
    assert found(doctor._open_files)["open files"].mend == "ulimit -n 65536"
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {3})
    assert found(doctor._cores)["cores"].status == "note"


def test_a_kernel_without_pidfd(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_: int) -> int:
        raise PermissionError("seccomp")

    monkeypatch.setattr(os, "pidfd_open", refuse)
    finding = found(doctor._kernel)["death of a peer"]
    assert finding.status == "note"
    assert "seccomp" in finding.text


def test_yama_keeps_ranks_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Path, "exists", lambda _: True)
    monkeypatch.setattr(Path, "read_text", lambda *_, **__: "1\n")
    assert found(doctor._kernel)["single copy"].status == "note"


def test_mpirun_that_does_not_say_where_ranks_meet(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in (("RANK", "1"), ("SIZE", "4"), ("LOCAL_RANK", "0"), ("LOCAL_SIZE", "2")):
        monkeypatch.setenv(f"OMPI_COMM_WORLD_{name}", value)
    monkeypatch.setenv("PMIX_NAMESPACE", "job")
    finding = found(doctor._launcher)["launcher"]
    assert finding.status == "note"
    assert "DISTOS_COLL_RENDEZVOUS" in finding.mend


def test_another_torch_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("torch")
    monkeypatch.setattr("importlib.metadata.version", lambda _: "1.0.0")
    finding = found(doctor._torch)["torch"]
    assert finding.status == "bad"
    assert "1.0.0" in finding.text


def test_the_profile_in_use(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    (missing,) = doctor._profile()
    assert (missing.status, missing.text[:5]) == ("note", "none:")
    assert "--calibrate" in missing.mend
    place = profiles.path_of(Settings())
    profiles.save(Stored(profiles.own_key(), "2026-01-01T00:00:00Z", BUILT_IN), place)
    (used,) = doctor._profile()
    assert used.status == "good"
    assert str(place) in used.text
    place.write_text("{")
    (damaged,) = doctor._profile()
    assert damaged.status == "note"
    monkeypatch.setenv("DISTOS_COLL_PROFILE", str(place))
    (refused,) = doctor._profile()
    assert refused.status == "bad"
    assert says("profile-refused", refused.text)
    monkeypatch.setenv("DISTOS_COLL_PROFILE", "none")
    (off,) = doctor._profile()
    assert off.text.startswith("switched off")
