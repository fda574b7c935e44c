import math
from dataclasses import dataclass
from datetime import UTC, date, datetime
from decimal import Decimal
from enum import Enum, StrEnum
from typing import Any

import orjson
import pytest
from langchain_core.messages import AIMessage, HumanMessage
from pydantic import BaseModel

from shadowgraph.engine.values import MAX_SUMMARY_CHARACTERS, last_message_text, summarise, to_json


class Colour(StrEnum):
    RED = "red"


class Size(Enum):
    LARGE = 3


class Model(BaseModel):
    at: datetime
    colour: Colour


@dataclass
class Point:
    x: int
    tags: set[str]


class Odd:
    def __str__(self) -> str:
        return "odd\x00"


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (None, None),
        (True, True),
        (2**63 - 1, 2**63 - 1),
        (2**63, str(2**63)),
        (-(2**70), str(-(2**70))),
        (1.5, 1.5),
        (math.nan, None),
        (-math.inf, None),
        ("a\x00b\ud800", "ab\ufffd"),
        (Colour.RED, "red"),
        (Size.LARGE, 3),
        (b"abc", {"bytes": 3}),
        (Decimal("0.10"), "0.10"),
        (date(2026, 1, 2), "2026-01-02"),
        (Point(1, {"t"}), {"x": 1, "tags": ["t"]}),
        (Model(at=datetime(2026, 1, 2, tzinfo=UTC), colour=Colour.RED), {"at": "2026-01-02T00:00:00+00:00", "colour": "red"}),
        ({1: (2, [3])}, {"1": [2, [3]]}),
        ({"k\x00ey": Odd()}, {"key": "odd"}),
        (HumanMessage("hi", id="1"), {"type": "human", "content": "hi", "id": "1"}),
    ],
)  # fmt: skip
def test_values_become_json_that_every_database_stores(value: Any, expected: Any) -> None:
    told = to_json(value)

    assert told == expected
    assert orjson.loads(orjson.dumps(told)) == expected


@pytest.mark.parametrize(
    ("state", "text"),
    [
        ({"messages": [HumanMessage("q"), AIMessage("answer")]}, "answer"),
        ({"messages": []}, None),
        ({"messages": "no list"}, None),
        (
            {"messages": [AIMessage(["in ", {"type": "text", "text": "parts"}, {"type": "image", "url": "x"}])]},
            "in parts",
        ),
        ({"messages": [3]}, None),
        ({"other": 1}, None),
        ("text", None),
    ],
)
def test_the_text_of_a_result_is_that_of_its_last_message(state: Any, text: str | None) -> None:
    assert last_message_text(to_json(state)) == text


def test_a_summary_is_one_short_line() -> None:
    state: dict[str, Any] = {
        "text": "first\n second  third " * 50,
        "files": [1, 2],
        "plan": {"a": 1},
        "n": 3,
        "nothing": None,
    }

    line = summarise(state)

    assert line.startswith("text: first second third")
    assert line.endswith("files: 2 items, plan: 1 fields, n: 3, nothing: None")
    assert "\n" not in line


def test_a_summary_is_cut() -> None:
    line = summarise({str(number): "word " * 30 for number in range(20)})

    assert len(line) == MAX_SUMMARY_CHARACTERS
    assert line.endswith("…")
