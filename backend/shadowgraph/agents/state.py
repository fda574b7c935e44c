"""What travels between the five nodes. Notes and plans stand in it as plain JSON, so that a person can read and edit them; files do not."""

import json
from typing import Annotated, Any, Literal

from pydantic import BaseModel, Field
from typing_extensions import TypedDict

MAX_QUERY_CHARACTERS = 100_000
MAX_INLINE_BYTES = 32_000
"""Longer notes and plans are shortened: every checkpoint holds the state once more."""
_CUTS = ((2_000, 40), (500, 20), (100, 10))
"""Longest text and longest list that each further step leaves."""

Query = Annotated[
    str,
    Field(
        min_length=1,
        max_length=MAX_QUERY_CHARACTERS,
        pattern=r"\S",
        description="What to build, or the question to answer.",
        examples=["Build a snake game"],
    ),
]


class FileSummary(TypedDict):
    """One file of the answer; its text is the artifact of the same path."""

    path: str
    language: str
    size_bytes: int
    summary: str


class RefusedFile(TypedDict):
    path: str
    reason: str


class Checks(TypedDict):
    """What was found out about the files. `not_run`: there are tests, but nothing to run them in; `none`: there is nothing to run."""

    status: Literal["passed", "failed", "not_run", "none"]
    tests: int
    summary: str
    """One line for people: `tests: 7 passed`."""
    output: str
    """What the tests said, shortened."""


class PipelineInput(TypedDict):
    query: Query


class PipelineOutput(TypedDict):
    answer: str
    files: list[FileSummary]
    checks: Checks
    refused: list[RefusedFile]
    sources: list[dict[str, Any]]


class PipelineState(TypedDict, total=False):
    query: Query
    notes: dict[str, Any]
    """`schemas.ResearchNotes`."""
    web: str
    """Why something could not be looked up; empty when nothing was missing."""
    sources: list[dict[str, Any]]
    plan: dict[str, Any]
    """`schemas.Plan`."""
    validation: dict[str, Any]
    """`schemas.Validation`."""
    files: list[FileSummary]
    refused: list[RefusedFile]
    checks: Checks
    answer: str


def inline(value: BaseModel) -> dict[str, Any]:
    """A structured answer as it may stand in the state: plain JSON, shortened until it fits."""
    dumped: dict[str, Any] = value.model_dump(mode="json")
    for max_text, max_items in _CUTS:
        if len(json.dumps(dumped)) <= MAX_INLINE_BYTES:
            break
        dumped = _shorten(dumped, max_text=max_text, max_items=max_items)
    return dumped


def _shorten(value: Any, *, max_text: int, max_items: int) -> Any:
    if isinstance(value, str):
        return value if len(value) <= max_text else f"{value[:max_text]} … [cut]"
    if isinstance(value, dict):
        return {key: _shorten(item, max_text=max_text, max_items=max_items) for key, item in value.items()}
    if isinstance(value, list):
        return [_shorten(item, max_text=max_text, max_items=max_items) for item in value[:max_items]]
    return value
