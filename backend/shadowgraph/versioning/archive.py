"""Snapshots as zip files: the same snapshot gives the same bytes everywhere, so an archive that is not exactly ours is refused.

`manifest.json`, then `files/PATH` in order; stored, not compressed (compression may differ between builds of zlib); no times, no owners.
"""

import io
import zipfile
from collections.abc import Iterator

from shadowgraph.versioning.checking import check_blobs
from shadowgraph.versioning.errors import InvalidSnapshot, Place, place, refuse
from shadowgraph.versioning.files import MAX_FILES, MAX_TOTAL_BYTES
from shadowgraph.versioning.manifest import MAX_MANIFEST_BYTES, Manifest, decode, digest_of, encode
from shadowgraph.versioning.snapshot import Snapshot, require_sound

MANIFEST = "manifest.json"
FILES = "files/"
EPOCH = (1980, 1, 1, 0, 0, 0)
"""The oldest time that a zip can say."""
UNIX = 3
FILE_MODE = 0o100644

MAX_ARCHIVE_BYTES = 20 << 20
"""All that a snapshot may hold, its manifest and what a zip needs around them."""

_NOT_OURS = "it was not written by: versions export"


def write_archive(snapshot: Snapshot) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED) as archive:
        archive.writestr(_entry(MANIFEST), encode(snapshot.manifest))
        for path, body in sorted(snapshot.bodies.items()):
            archive.writestr(_entry(FILES + path), body)
    return buffer.getvalue()


def read_archive(data: bytes) -> Snapshot:
    """Checks everything before it is used; nothing is written anywhere.

    Errors: `InvalidSnapshot`, `SecretInSnapshot`.
    """
    if len(data) > MAX_ARCHIVE_BYTES:
        raise InvalidSnapshot(f"the archive has more than {MAX_ARCHIVE_BYTES} bytes")
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            snapshot = _read(archive)
    except (zipfile.BadZipFile, EOFError, NotImplementedError, RuntimeError, UnicodeDecodeError, ValueError) as error:
        # the standard library's own words for broken, encrypted or exotic archives
        raise InvalidSnapshot(f"the archive cannot be read: {error}") from error
    require_sound(snapshot)
    if write_archive(snapshot) != data:
        raise InvalidSnapshot("the archive holds more than its snapshot", hint=_NOT_OURS)
    return snapshot


def _read(archive: zipfile.ZipFile) -> Snapshot:
    entries = archive.infolist()
    refuse(_check_entries(entries), hint=_NOT_OURS)
    manifest = decode(archive.read(MANIFEST))
    refuse(_check_names([entry.filename for entry in entries], manifest), hint=_NOT_OURS)
    blobs = {file.digest: archive.read(FILES + path) for path, file in manifest.files.items()}
    refuse(check_blobs(manifest, blobs))
    return Snapshot(digest_of(manifest), manifest, blobs)


def _check_entries(entries: list[zipfile.ZipInfo]) -> Iterator[Place]:
    """Before anything is unpacked."""
    if len(entries) > MAX_FILES + 1:
        yield place(".", f"has {len(entries)} entries; a snapshot may have {MAX_FILES} files")
    if sum(entry.file_size for entry in entries) > MAX_TOTAL_BYTES + MAX_MANIFEST_BYTES:
        yield place(".", "would be larger than a snapshot may be")
    seen: set[str] = set()
    for entry in entries:
        name = entry.filename
        if name in seen:
            yield place(name[:200], "stands in the archive twice")
        seen.add(name)
        if entry.compress_type != zipfile.ZIP_STORED or entry.external_attr != FILE_MODE << 16:
            yield place(name[:200], "is no plain, stored file")
    if MANIFEST not in seen:
        yield place(MANIFEST, "is missing")


def _check_names(names: list[str], manifest: Manifest) -> Iterator[Place]:
    wanted = {MANIFEST, *(FILES + path for path in manifest.files)}
    yield from (place(name[:200], "is not in the manifest") for name in sorted(set(names) - wanted))
    yield from (place(name[:200], "is missing") for name in sorted(wanted - set(names)))


def _entry(name: str) -> zipfile.ZipInfo:
    entry = zipfile.ZipInfo(name, date_time=EPOCH)
    entry.compress_type = zipfile.ZIP_STORED
    entry.create_system = UNIX
    entry.external_attr = FILE_MODE << 16
    return entry
