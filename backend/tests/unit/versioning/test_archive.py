import io
import os
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shadowgraph.versioning.archive import EPOCH, MAX_ARCHIVE_BYTES, read_archive, write_archive
from shadowgraph.versioning.errors import InvalidSnapshot, SecretInSnapshot
from shadowgraph.versioning.manifest import encode
from tests.support.snapshots import make_snapshot

SNAPSHOT = make_snapshot()
ARCHIVE = write_archive(SNAPSHOT)
BACKEND = Path(__file__).parents[3]

BUILD = """
import hashlib
from tests.support.snapshots import make_snapshot
from shadowgraph.versioning.archive import write_archive
snapshot = make_snapshot()
print(snapshot.digest, hashlib.sha256(write_archive(snapshot)).hexdigest())
"""


def test_an_archive_read_is_the_snapshot_written() -> None:
    assert read_archive(ARCHIVE) == SNAPSHOT


def test_every_process_writes_the_same_bytes() -> None:
    surroundings = [
        {"PYTHONHASHSEED": "0", "TZ": "UTC", "LC_ALL": "C"},
        {"PYTHONHASHSEED": "12345", "TZ": "Asia/Tokyo", "LC_ALL": "C.UTF-8"},
    ]
    written = {
        subprocess.run(
            [sys.executable, "-c", BUILD],
            env={**os.environ, **variables},
            umask=umask,
            capture_output=True,
            text=True,
            check=True,
            cwd=BACKEND,
            timeout=100,
        ).stdout
        for variables, umask in zip(surroundings, (0o022, 0o077), strict=True)
    }

    assert len(written) == 1
    assert written.pop().split()[0] == SNAPSHOT.digest


@given(st.data())
@settings(max_examples=250)
def test_any_changed_byte_is_found(data: st.DataObject) -> None:
    changed = bytearray(ARCHIVE)
    position = data.draw(st.integers(0, len(ARCHIVE) - 1))
    changed[position] ^= data.draw(st.integers(1, 255))

    assert is_refused(bytes(changed))


@given(st.integers(0, len(ARCHIVE) - 1))
@settings(max_examples=40)
def test_a_torn_archive_is_refused(length: int) -> None:
    assert is_refused(ARCHIVE[:length])


@pytest.mark.parametrize("more", [b"\0", b"PK", ARCHIVE])
def test_anything_before_or_behind_it_is_refused(more: bytes) -> None:
    assert is_refused(ARCHIVE + more)
    assert is_refused(more + ARCHIVE)


def is_refused(data: bytes) -> bool:
    try:
        read_archive(data)
    except (InvalidSnapshot, SecretInSnapshot):
        return True
    return False


def packed(fill: Callable[[zipfile.ZipFile], None], *, compression: int = zipfile.ZIP_STORED) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", compression) as archive:
        fill(archive)
    return buffer.getvalue()


def entry(name: str, mode: int = 0o100644) -> zipfile.ZipInfo:
    made = zipfile.ZipInfo(name, EPOCH)
    made.create_system, made.external_attr = 3, mode << 16
    return made


def with_entries(*entries: tuple[zipfile.ZipInfo, bytes]) -> bytes:
    """The snapshot's own entries, and these."""

    def fill(archive: zipfile.ZipFile) -> None:
        archive.writestr(entry("manifest.json"), encode(SNAPSHOT.manifest))
        for path, body in sorted(SNAPSHOT.bodies.items()):
            archive.writestr(entry(f"files/{path}"), body)
        for made, body in entries:
            archive.writestr(made, body)

    return packed(fill)


def test_the_archive_without_more_entries_is_the_archive() -> None:
    assert with_entries() == ARCHIVE


@pytest.mark.parametrize(
    ("name", "mode"),
    [
        ("files/../evil.py", 0o100644),
        ("/etc/passwd", 0o100644),
        ("files/..\\evil.py", 0o100644),
        ("files/link.py", 0o120777),
        ("files/new.py", 0o100644),
        ("evil.py", 0o100755),
    ],
)
def test_entries_that_are_not_in_the_manifest_are_refused(name: str, mode: int) -> None:
    with pytest.raises(InvalidSnapshot) as raised:
        read_archive(with_entries((entry(name, mode), b"x")))

    assert name.replace("\\", "/") in {error["pointer"].replace("\\", "/") for error in raised.value.facts["errors"]}  # type: ignore[attr-defined]


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_an_entry_that_stands_there_twice_is_refused() -> None:
    with pytest.raises(InvalidSnapshot, match="twice"):
        read_archive(with_entries((entry("files/helper.py"), b"X = 2\n")))


def test_a_bomb_is_refused_before_it_is_unpacked() -> None:
    bomb = packed(
        lambda archive: archive.writestr("manifest.json", b"\0" * (400 << 20)), compression=zipfile.ZIP_DEFLATED
    )

    assert len(bomb) < 1 << 20
    with pytest.raises(InvalidSnapshot, match="larger than a snapshot may be"):
        read_archive(bomb)


def test_compressed_archives_and_other_files_are_refused() -> None:
    deflated = packed(
        lambda archive: archive.writestr("manifest.json", encode(SNAPSHOT.manifest)), compression=zipfile.ZIP_DEFLATED
    )

    for data in (deflated, b"", b"not a zip", packed(lambda _: None), b"x" * (MAX_ARCHIVE_BYTES + 1)):
        assert is_refused(data)


def test_a_secret_in_an_archive_is_refused() -> None:
    """Whoever made it may have left the scan out."""
    hidden = "gsk_" + "aB1" * 10
    marked = write_archive(make_snapshot({"helper.py": f"K = '{hidden}'  # pragma: allowlist secret\n"}))
    read_archive(marked)

    assert is_refused(marked.replace(b"pragma", b"drama!"))
