from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel

from shadowgraph.core.json import sha256
from shadowgraph.engine.outputs import MAX_DEPTH, result_of


class Kept:
    def __init__(self) -> None:
        self.files: dict[str, bytes] = {}

    def add_artifact(self, path: str, body: bytes, *, media_type: str, node: str | None) -> None:
        self.files[path] = body


@dataclass
class Page:
    image: bytes
    number: int


class Book(BaseModel):
    cover: bytes
    pages: list[Page]


def reference(path: str, body: bytes) -> dict[str, Any]:
    return {"artifact": path, "size": len(body), "sha256": sha256(body)}


def test_bytes_become_files_and_stand_in_the_result_by_reference() -> None:
    kept = Kept()
    output = {"title": "T", "book": Book(cover=b"c", pages=[Page(b"one", 1)]), "raw/data": bytearray(b"r")}

    result = result_of(output, kept)

    assert kept.files == {"output/book/cover": b"c", "output/book/pages/0/image": b"one", "output/raw_data": b"r"}
    assert result == {
        "title": "T",
        "book": {
            "cover": reference("output/book/cover", b"c"),
            "pages": [{"image": reference("output/book/pages/0/image", b"one"), "number": 1}],
        },
        "raw/data": reference("output/raw_data", b"r"),
    }


def test_an_output_without_bytes_leaves_no_file() -> None:
    kept = Kept()

    assert result_of({"text": "a", "list": [1, (2, None)]}, kept) == {"text": "a", "list": [1, [2, None]]}
    assert kept.files == {}


def test_bytes_that_lie_too_deep_are_only_counted() -> None:
    kept, output = Kept(), {"deep": b"abc"}
    for _ in range(MAX_DEPTH):
        output = {"in": output}  # type: ignore[dict-item]

    result: Any = result_of(output, kept)
    for _ in range(MAX_DEPTH):
        result = result["in"]

    assert (result, kept.files) == ({"deep": {"bytes": 3}}, {})
