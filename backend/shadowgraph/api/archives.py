"""A zip of files, sent while it is made. The same files give the same bytes."""

import asyncio
from collections.abc import AsyncIterator
from zipfile import ZIP_DEFLATED, ZipFile, ZipInfo

EPOCH = (1980, 1, 1, 0, 0, 0)
"""The oldest time that a zip can say: the time of packing must not change the bytes."""
UNIX = 3
FILE_MODE = 0o100644


class _Outbox:
    """A file that is only written, and emptied by the reader."""

    def __init__(self) -> None:
        self._chunks: list[bytes] = []

    def write(self, data: bytes) -> int:
        self._chunks.append(bytes(data))
        return len(data)

    def flush(self) -> None:
        """Nothing is held back."""

    def close(self) -> None:
        """Nothing is open."""

    def take(self) -> bytes:
        data = b"".join(self._chunks)
        self._chunks.clear()
        return data


async def zip_files(files: AsyncIterator[tuple[str, bytes]]) -> AsyncIterator[bytes]:
    outbox = _Outbox()
    with ZipFile(outbox, "w") as archive:
        async for path, body in files:
            await asyncio.to_thread(archive.writestr, _entry(path), body)
            yield outbox.take()
    yield outbox.take()


def _entry(path: str) -> ZipInfo:
    entry = ZipInfo(path, date_time=EPOCH)
    entry.compress_type = ZIP_DEFLATED
    entry.create_system = UNIX
    entry.external_attr = FILE_MODE << 16
    return entry
