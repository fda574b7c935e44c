"""Files with names from a model are written inside the folder or not at all."""

import os
from pathlib import Path

import pytest

from shadowgraph.cli.files import File, changed_files, write_file, write_files
from shadowgraph.core.paths import UnsafePath

OUTSIDE = [
    "",
    ".",
    "..",
    "../a",
    "a/../b",
    "a/../../b",
    "/a",
    "//a",
    "a//b",
    "a/",
    "./a",
    "..\\a",
    "C:\\a",
    ".hidden",
    "a/.hidden/b",
    "nul",
    "com1.txt",
    "a\x00b",
    "a\nb",
    "a\u202eb",
    "a.",
    "a ",
    "x" * 101,
    "/".join("a" * 13),
]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    inside = tmp_path / "inside"
    inside.mkdir()
    return inside


def everything_below(path: Path) -> set[str]:
    return {str(found.relative_to(path)) for found in path.rglob("*")}


def test_files_are_written_with_their_folders(folder: Path) -> None:
    written = write_files(folder / "new", [File("a.py", b"1"), File("b/c/d.py", b"\x00\xff")])

    assert written == [folder / "new" / "a.py", folder / "new" / "b" / "c" / "d.py"]
    assert [path.read_bytes() for path in written] == [b"1", b"\x00\xff"]


def test_a_shorter_text_replaces_a_longer_one_wholly(folder: Path) -> None:
    write_file(folder, "a.py", b"a long text")
    write_file(folder, "a.py", b"short")

    assert (folder / "a.py").read_bytes() == b"short"


@pytest.mark.parametrize("name", OUTSIDE)
def test_a_name_that_leads_outside_writes_nothing(name: str, folder: Path) -> None:
    with pytest.raises(UnsafePath):
        write_file(folder, name, b"x")

    assert everything_below(folder.parent) == {"inside"}


def test_a_linked_folder_is_not_entered(folder: Path, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (folder / "link").symlink_to(outside)

    with pytest.raises(UnsafePath):
        write_file(folder, "link/a.py", b"x")

    assert everything_below(outside) == set()


def test_a_linked_file_is_not_followed(folder: Path, tmp_path: Path) -> None:
    target = tmp_path / "precious"
    target.write_text("mine")
    (folder / "a.py").symlink_to(target)

    with pytest.raises(UnsafePath):
        write_file(folder, "a.py", b"x")

    assert target.read_text() == "mine"


def test_a_link_to_nowhere_makes_no_file(folder: Path, tmp_path: Path) -> None:
    (folder / "a.py").symlink_to(tmp_path / "absent")

    with pytest.raises(UnsafePath):
        write_file(folder, "a.py", b"x")

    assert not (tmp_path / "absent").exists()


def test_a_pipe_in_the_way_does_not_hold_the_command_up(folder: Path) -> None:
    os.mkfifo(folder / "a.py")

    with pytest.raises(UnsafePath):
        write_file(folder, "a.py", b"x")


def test_a_folder_or_file_in_the_way_is_left_alone(folder: Path) -> None:
    (folder / "a").mkdir()
    (folder / "b").write_text("mine")

    for path in ("a", "b/c.py"):
        with pytest.raises(UnsafePath):
            write_file(folder, path, b"x")

    assert (folder / "b").read_text() == "mine"


def test_descriptors_are_closed_even_after_a_refusal(folder: Path) -> None:
    (folder / "link").symlink_to("/")
    before = len(os.listdir("/proc/self/fd"))  # noqa: PTH208  what is counted are descriptors

    for _ in range(20):
        write_file(folder, "a/b/c.py", b"x")
        with pytest.raises(UnsafePath):
            write_file(folder, "link/tmp/x.py", b"x")

    assert len(os.listdir("/proc/self/fd")) == before  # noqa: PTH208


def test_only_other_content_counts_as_changed(folder: Path) -> None:
    (folder / "same").write_bytes(b"1")
    (folder / "other").write_bytes(b"2")
    (folder / "link").symlink_to(folder / "same")
    files = [File("same", b"1"), File("other", b"1"), File("new", b"1"), File("link", b"1")]

    assert changed_files(folder, files) == ["other", "link"]
