"""A graph's output as the run's result: plain JSON, and its bytes as files of the run."""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import fields, is_dataclass
from typing import Any, Protocol

from pydantic import BaseModel

from shadowgraph.core.json import Json, sha256
from shadowgraph.engine.values import to_json

FOLDER = "output"
BYTES_MEDIA_TYPE = "application/octet-stream"
_HOLD_NOTHING = frozenset((str, int, float, bool, type(None)))
MAX_DEPTH = 8
"""Bytes that lie deeper are not kept: the result says only how many they are."""

Path = tuple[str | int, ...]


class Files(Protocol):
    """Where the files of a run go; `RunRecorder` is one."""

    def add_artifact(self, path: str, body: bytes, *, media_type: str, node: str | None) -> None: ...


def result_of(output: Any, files: Files) -> Json:
    """In the place of bytes stands {artifact, size, sha256}: the path of the file that has them, `output/` and where they were."""
    told = to_json(output)
    for path, body in _bytes_in(output, ()):
        name = "/".join([FOLDER, *(_part(step) for step in path)])
        files.add_artifact(name, body, media_type=BYTES_MEDIA_TYPE, node=None)
        told = _put(told, path, {"artifact": name, "size": len(body), "sha256": sha256(body)})
    return told


def _bytes_in(value: Any, path: Path) -> Iterator[tuple[Path, bytes]]:
    if type(value) in _HOLD_NOTHING:
        return
    if isinstance(value, bytes | bytearray):
        yield path, bytes(value)
    elif len(path) < MAX_DEPTH:
        for step, item in _items(value):
            yield from _bytes_in(item, (*path, step))


def _items(value: Any) -> Iterator[tuple[str | int, Any]]:
    """The same steps as `to_json` takes."""
    if isinstance(value, BaseModel):
        yield from value.model_dump().items()
    elif is_dataclass(value) and not isinstance(value, type):
        yield from ((item.name, getattr(value, item.name)) for item in fields(value))
    elif isinstance(value, Mapping):
        yield from ((str(key), item) for key, item in value.items())
    elif isinstance(value, Sequence) and not isinstance(value, str):
        yield from enumerate(value)


def _put(told: Json, path: Path, reference: Json) -> Json:
    """The same JSON with the reference at that place."""
    if not path:
        return reference
    step, rest = path[0], path[1:]
    if isinstance(told, Mapping):
        return {**told, str(step): _put(told.get(str(step)), rest, reference)}
    if isinstance(told, Sequence) and not isinstance(told, str):
        return [_put(item, rest, reference) if index == step else item for index, item in enumerate(told)]
    return told


def _part(step: str | int) -> str:
    """A step of the path as the name of a file or folder."""
    return re.sub(r"[^A-Za-z0-9_-]", "_", str(step))[:100] or "_"
