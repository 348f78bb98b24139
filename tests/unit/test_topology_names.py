"""Names of many hosts in one word, and their order."""

import re
from collections.abc import Iterator

from hypothesis import given
from hypothesis import strategies as st

from distos_coll.topology.names import counted, listed, natural, ranges


def spread(text: str) -> Iterator[str]:
    """Read what `ranges` writes of names that end in a number."""
    for word in filter(None, re.split(r", (?![^\[]*\])", text)):
        match = re.fullmatch(r"(.*?)\[(.*)\](.*)", word)
        if match is None:
            yield word
            continue
        for part in match[2].split(","):
            first, _, last = part.partition("-")
            for number in range(int(first), int(last or first) + 1):
                yield f"{match[1]}{str(number).zfill(len(first))}{match[3]}"


@given(st.sets(st.from_regex("(n|rack1-|gpu)[0-9]{1,3}(a|[.]x)?", fullmatch=True)))
def test_no_name_is_lost_and_none_added(names: set[str]) -> None:
    assert set(spread(ranges(names, 10_000))) == names


def test_as_people_write_them() -> None:
    assert ranges([f"n{i:04}" for i in range(1000)]) == "n[0000-0999]"
    assert ranges(["n9", "n10", "n11", "n13"]) == "n[9-11,13]"
    assert ranges(["n09", "n10"]) == "n[09-10]"
    assert ranges(["r1n2", "r1n3", "login"]) == "r1n[2-3], login"
    assert ranges(["b", "a", "c", "d"], 2) == "a, b and 2 more"
    assert ranges(["n1", "n3", "n5", "n7"], 2) == "n[1,3] and 2 more"
    assert ranges(["0x12", "0x13"]) == "0x12, 0x13"
    assert ranges([]) == ""
    assert listed("abcdef") == "a, b, c, d and 2 more"
    assert counted(1, "host", "hosts") == "1 host"


@given(st.text(max_size=40), st.text(max_size=40))
def test_the_order_is_one(a: str, b: str) -> None:
    assert (natural(a) == natural(b)) == (a == b)
    assert (natural(a) < natural(b)) or (natural(b) < natural(a)) or a == b


def test_numbers_in_order() -> None:
    assert sorted(["eth10", "eth2", "eth1"], key=natural) == ["eth1", "eth2", "eth10"]
    assert natural("9" * 5000)[1] == "9" * 5000
