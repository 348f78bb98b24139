"""Dumps in one file: tar as Python and others write it, ttar, damaged and hostile ones."""

import io
import tarfile
from pathlib import Path

import pytest
from error_page import raises
from fake_machine import server
from hypothesis import given
from hypothesis import strategies as st
from topologies import read_text, topology_of

from distos_coll.errors import TopologyError
from distos_coll.plugins.manager import default_sources
from distos_coll.sources import archives, file_tree
from distos_coll.topology.reading import open_document, read
from distos_coll.topology.source import Document
from distos_coll.topology.summary import summary

FORMATS = {
    "ustar": tarfile.USTAR_FORMAT,
    "gnu": tarfile.GNU_FORMAT,
    "pax": tarfile.PAX_FORMAT,
}


@pytest.mark.parametrize("name", FORMATS)
@pytest.mark.parametrize("folder", ["", "./", "dumps/node7/", "a/b/c/"])
def test_an_archive_says_what_its_folder_says(name: str, folder: str, tmp_path: Path) -> None:
    machine = server(tmp_path / "node7")
    packed = machine.packed(tmp_path / "a.tar.gz", FORMATS[name], folder)
    if folder.count("/") > 2:
        # Further down than is looked.
        with raises("sysfs-none"):
            read(packed, default_sources())
        return
    reading = read(packed, default_sources())
    assert topology_of(reading).hosts == (machine.host(),)
    document = open_document(packed)
    with tarfile.open(fileobj=io.BytesIO(document.data)) as archive:
        assert archives.read_tar(document).added == len(archive.getmembers())


LONG = "sys/devices/system/cpu/" + "x" * 120 + "/" + "y" * 150


@pytest.mark.parametrize("name", ["gnu", "pax"])
def test_long_names(name: str) -> None:
    """Beyond the 100 bytes of a header, of files and of what links point at."""
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w", format=FORMATS[name]) as archive:
        info = tarfile.TarInfo(LONG)
        info.size = 3
        archive.addfile(info, io.BytesIO(b"0-1"))
        link = tarfile.TarInfo("link" + "z" * 200)
        link.type, link.linkname = tarfile.SYMTYPE, LONG
        archive.addfile(link)
        archive.addfile(tarfile.TarInfo("short"))
    tree = archives.read_tar(Document("a.tar", packed.getvalue()))
    assert tree.added == 3
    assert tree.text(LONG) == tree.text("link" + "z" * 200) == "0-1"
    assert tree.names("") == ["link" + "z" * 200, "short", "sys"]


def header(name: bytes, kind: bytes = b"0", size: bytes = b"0", link: bytes = b"") -> bytes:
    fields = [
        (name, 100), (b"644", 8), (b"0", 8), (b"0", 8), (size, 12), (b"0", 12), (b" " * 8, 8),
        (kind, 1), (link, 100), (b"ustar\x0000", 8),
    ]  # fmt: skip
    block = b"".join(value.ljust(width, b"\0")[:width] for value, width in fields).ljust(512, b"\0")
    return block[:148] + b"%06o\0 " % sum(block) + block[156:]


def tree_of(*blocks: bytes) -> file_tree.Archive:
    return archives.read_tar(Document("a.tar", b"".join(blocks)))


def content(data: bytes) -> bytes:
    return data.ljust(-(-len(data) // 512) * 512, b"\0")


def test_names_that_lead_out_are_left_out() -> None:
    names = (b"../../etc/passwd", b"/sys/x", b"a/../../b", b"x/" * 70 + b"y"[:30], b".", b"")
    tree = tree_of(*(header(name[:100]) for name in names))
    assert tree.names("") == ["sys", "x"]
    assert {finding.code for finding in tree.findings} == {"link-outside"}


def test_the_last_of_a_name_counts_and_a_link_is_no_folder() -> None:
    tree = tree_of(
        header(b"a", b"2", link=b"/etc"),
        header(b"a/passwd", size=b"1"),
        content(b"x"),
        header(b"b", size=b"2"),
        content(b"no"),
        header(b"b", size=b"3"),
        content(b"yes"),
    )
    assert tree.text("b") == "yes"
    assert tree.text("a/passwd") is None


@pytest.mark.parametrize(
    ("row", "blocks"),
    [
        ("tar-damaged", [header(b"sys/a"), b"\xff" * 512]),
        ("tar-damaged", [header(b"sys/a", size=b"-1")]),
        ("tar-damaged", [header(b"sys/a", size=b"\xff" * 12)]),
        ("tar-damaged", [header(b"sys/a", size=b"\x80" + b"\xff" * 11)]),
        ("tar-short-member", [header(b"sys/a", size=b"7777")]),
        ("tar-short", [header(b"sys/a", b"g", size=b"7777")]),
    ],
)
def test_damaged(row: str, blocks: list[bytes]) -> None:
    with raises(row, r"a\.tar: "):
        tree_of(*blocks)


def test_an_end_is_an_end_and_none_is_needed() -> None:
    blocks = [header(b"a"), bytes(512), header(b"b")]
    assert tree_of(*blocks).names("") == ["a"]
    assert tree_of(blocks[0]).names("") == ["a"]


@pytest.mark.parametrize(
    "records",
    [
        b"0 path=x\n",
        b"99999 path=x\n",
        b"11 path=x\n",
        b"x",
        b"9 path=\n9 size=\n",
        b"13 size=99999\n",
    ],
)
def test_records_of_no_use(records: bytes) -> None:
    """What they say of the member after them is left, or is wrong: then the file is."""
    blocks = [header(b"p", b"x", b"%o" % len(records)), content(records), header(b"sys/a")]
    try:
        tree = tree_of(*blocks)
    except TopologyError as error:
        assert "cut off" in str(error)  # noqa: PT017
        return
    assert tree.added == 1


def test_too_many_members(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(file_tree, "MAX_FILES", 5)
    with raises("archive-files"):
        tree_of(*(header(b"a%d" % i) for i in range(6)))
    with raises("archive-files"):
        tree_of(header(b"a/b/c/d/e/f/g"))


TTAR = b"""# Archive created by ttar -c -f a
Directory: fixtures
Mode: 755
# ttar - - - - - - -
Path: fixtures/sys/class/net/eth0/address
Lines: 1
01:01:01:01:01:01
Mode: 644
# ttar - - - - - - -
Path: fixtures/sys/class/net/eth0/operstate
Lines: 1
upEOF
Mode: 644
# ttar - - - - - - -
Path: fixtures/sys/class/net/eth0/device
SymlinkTo: ../../../devices/pci0000:00/0000:00:1f.6/
# ttar - - - - - - -
Path: fixtures/sys/class/net/eth0/ifalias
Lines: 2
NULLBYTEa\\EOFb\\NULLBYTEEOF

Mode: 644
# ttar - - - - - - -
Path: fixtures/sys/devices/pci0000:00/0000:00:1f.6/class
Lines: 1
0x020000
Mode: 644
"""


def test_ttar() -> None:
    tree = archives.read_ttar(Document("a.ttar", TTAR))
    assert tree.added == 6
    alias = tree.resolve("fixtures/sys/class/net/eth0/ifalias")
    assert alias is not None
    assert tree._read(alias) == b"\0aEOFbNULLBYTE\n"
    assert tree.text("fixtures/sys/class/net/eth0/device/class") == "0x020000"
    reading = read_text(TTAR, "a.ttar")
    facts = summary(reading)
    assert (facts["format"], facts["nics"], facts["net_ports"]) == ("sysfs", 1, 1)
    assert topology_of(reading).hosts[0].ports[0].addresses == ("01:01:01:01:01:01",)


@pytest.mark.parametrize(
    ("row", "text", "match"),
    [
        ("ttar-line", b"# ttar - - -\nwhat", "a.ttar:2: 'what' is no line"),
        ("ttar-line", b"# ttar - - -\nLines: 1\n", "a.ttar:2"),
        ("ttar-lines", b"# ttar - - -\nPath: a\nLines: many\n", "a.ttar:3"),
        ("ttar-short", b"# ttar - - -\nPath: a\nLines: 3\nx\n", "in a"),
        ("sysfs-none", b"# ttar - - -\nPath: a\nLines: 1\nx\n", "a.ttar"),
    ],
)
def test_ttar_refused(row: str, text: bytes, match: str) -> None:
    with raises(row, match):
        read_text(text, "a.ttar")


def test_an_archive_of_something_else() -> None:
    with raises("topology-unknown"):
        read_text(header(b"README") + bytes(1024), "a.tar")


SMALL = b"".join(
    [
        header(b"sys", b"5"),
        header(b"sys/class/net/eth0", b"2", link=b"../../devices/pci0000:00/0000:00:01.0/net/eth0"),
        header(b"sys/devices/pci0000:00/0000:00:01.0/net/eth0/speed", size=b"6"),
        content(b"25000\n"),
        header(b"sys/devices/pci0000:00/0000:00:01.0/class", size=b"11"),
        content(b"0x020000\n"),
        header(b"sys/bus/pci/devices/0000:00:01.0", b"2",
               link=b"../../../devices/pci0000:00/0000:00:01.0"),
        header(b"sys/devices/system/cpu/online", size=b"4"),
        content(b"0-3\n"),
        bytes(1024),
    ]
)  # fmt: skip


def test_the_small_one_is_good() -> None:
    facts = summary(read_text(SMALL, "a.tar"))
    assert (facts["nics"], facts["net_ports"], facts["warnings"]) == (1, 1, [])


CUTS = st.lists(
    st.tuples(st.floats(0, 1), st.integers(0, 600), st.binary(max_size=12)), min_size=1, max_size=6
)


def damaged(data: bytes, cuts: list[tuple[float, int, bytes]]) -> bytes:
    for where, length, put in cuts:
        at = int(where * len(data))
        data = data[:at] + put + data[at + length :]
    return data


@given(st.sampled_from([SMALL, TTAR]), CUTS)
def test_a_damaged_archive_is_read_or_refused(
    data: bytes, cuts: list[tuple[float, int, bytes]]
) -> None:
    try:
        reading = read_text(damaged(data, cuts), "a.tar")
    except TopologyError:
        return
    summary(reading)


@given(st.lists(st.integers(0, len(SMALL) // 512 - 1), max_size=30))
def test_blocks_in_any_order(order: list[int]) -> None:
    """Headers stay whole, so that more of the reader is reached."""
    data = b"".join(SMALL[512 * i : 512 * (i + 1)] for i in order)
    try:
        summary(read_text(data, "a.tar"))
    except TopologyError:
        return
