"""Plans, and what they cost by each model, stay as they were until somebody looks at a change."""

import json
from pathlib import Path

import plan_goldens
import pytest

STORED = json.loads((Path(__file__).parents[1] / "data" / "plan-goldens.json").read_text())


@pytest.fixture(scope="module")
def computed() -> dict[str, dict[str, list[str]]]:
    return plan_goldens.goldens()


def test_sizes_are_those_of_the_file() -> None:
    assert STORED["sizes"] == list(plan_goldens.SIZES)


@pytest.mark.parametrize("job", [*plan_goldens.JOBS, *plan_goldens.GROUPS])
def test_winners_and_times(computed: dict[str, dict[str, list[str]]], job: str) -> None:
    """If a change is meant: python tools/plan_goldens.py >tests/data/plan-goldens.json"""
    assert computed[job] == STORED["times"][job]


def test_no_job_is_forgotten(computed: dict[str, dict[str, list[str]]]) -> None:
    assert set(STORED["times"]) == set(computed)


def test_larger_calls_take_longer() -> None:
    """Of each model and job; the figures themselves are no oracle of that."""
    for job, questions in STORED["times"].items():
        for question, lines in questions.items():
            if question != "layout":
                times = [float(line.rpartition(" ")[2]) for line in lines]
                assert times == sorted(times), (job, question)
