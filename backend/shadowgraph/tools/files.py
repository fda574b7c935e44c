"""Turns a model's answer into files. Whatever the answer holds, the outcome is files and reasons, never an error."""

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass

from shadowgraph.core.json import Json, JsonObject
from shadowgraph.core.paths import UnsafePath, require_safe_path
from shadowgraph.tools.code_blocks import CodeBlock, find_code_blocks
from shadowgraph.tools.registry import ToolContext

MAX_FILES = 100
MAX_FILE_BYTES = 256_000
MAX_TOTAL_BYTES = 1_000_000

UNSAFE_NAME = "the name is absolute, climbs out, or cannot stand in a file system"
CUT_OFF = "the answer breaks off inside this file"


@dataclass(frozen=True, slots=True)
class ParsedFile:
    path: str
    language: str
    body: str


@dataclass(frozen=True, slots=True)
class RefusedFile:
    path: str
    """As the model wrote it, shortened and printable."""
    reason: str


@dataclass(frozen=True, slots=True)
class ParsedAnswer:
    files: tuple[ParsedFile, ...]
    refused: tuple[RefusedFile, ...]
    unnamed: int
    """Code blocks without a file name: examples, or a model that forgot."""


async def parse_files(arguments: JsonObject, context: ToolContext) -> Json:
    """`{"files": [{path, language, body}], "refused": [{path, reason}], "unnamed": n}`"""
    return asdict(parse_answer(str(arguments["text"])))


def parse_answer(text: str) -> ParsedAnswer:
    blocks = tuple(find_code_blocks(text))
    files, refused = _sort_out(block for block in blocks if block.path is not None)
    return ParsedAnswer(files, refused, unnamed=sum(block.path is None for block in blocks))


def _sort_out(blocks: Iterable[CodeBlock]) -> tuple[tuple[ParsedFile, ...], tuple[RefusedFile, ...]]:
    files: list[ParsedFile] = []
    refused: list[RefusedFile] = []
    for block in blocks:
        name = block.path or ""
        try:
            path = require_safe_path(name)
        except UnsafePath:
            refused.append(RefusedFile(_printable(name), UNSAFE_NAME))
            continue
        if reason := _reason_against(path, block, earlier=files):
            refused.append(RefusedFile(path, reason))
        else:
            files.append(ParsedFile(path, block.language, block.body))
    return tuple(files), tuple(refused)


def _reason_against(path: str, block: CodeBlock, *, earlier: Sequence[ParsedFile]) -> str | None:
    if not block.complete:
        return CUT_OFF
    if _collides(path, [file.path for file in earlier]):
        return "the name stands twice in the answer, or is a folder of another file"
    size = _size(block.body)
    if size > MAX_FILE_BYTES:
        return f"longer than {MAX_FILE_BYTES:,} bytes"
    if len(earlier) >= MAX_FILES or size + sum(_size(file.body) for file in earlier) > MAX_TOTAL_BYTES:
        return f"more than {MAX_FILES} files or {MAX_TOTAL_BYTES:,} bytes in one answer"
    return None


def _size(body: str) -> int:
    return len(body.encode(errors="replace"))


def _collides(path: str, others: Iterable[str]) -> bool:
    """Also when only the case differs: some file systems keep one of the two."""
    own = path.lower()
    return any(
        own == other.lower() or own.startswith(f"{other.lower()}/") or other.lower().startswith(f"{own}/")
        for other in others
    )


def _printable(path: str) -> str:
    return "".join(character if character.isprintable() else "?" for character in path[:80])
