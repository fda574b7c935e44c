"""Long tool results are shortened before they reach a prompt or a row."""

from collections.abc import Mapping, Sequence

from shadowgraph.core.json import Json, canonical
from shadowgraph.core.text import shorten_text

_STEPS = ((8_000, 200), (2_000, 50), (500, 20), (120, 5))
"""Longest text and longest list that each further step leaves."""

_ENVELOPE_BYTES = 16
"""Half of what stands around the preview; writing the preview as JSON at most doubles it."""


def compact(value: Json, *, max_bytes: int) -> Json:
    """The value itself when it fits, else the same shape with shorter texts and lists; each cut says what is missing."""
    if _size(value) <= max_bytes:
        return value
    for max_text, max_items in _STEPS:
        shorter = _shorten(value, max_text=max_text, max_items=max_items)
        if _size(shorter) <= max_bytes:
            return shorter
    preview = canonical(value)[: max_bytes // 2 - _ENVELOPE_BYTES]
    return {"cut": True, "preview": preview.decode(errors="ignore")}


def _shorten(value: Json, *, max_text: int, max_items: int) -> Json:
    if isinstance(value, str):
        return shorten_text(value, max_characters=max_text)
    if isinstance(value, Mapping):
        return {key: _shorten(item, max_text=max_text, max_items=max_items) for key, item in value.items()}
    if isinstance(value, Sequence):
        kept = [_shorten(item, max_text=max_text, max_items=max_items) for item in value[:max_items]]
        return kept if len(value) <= max_items else [*kept, f"… [cut: {len(value) - max_items} more items]"]
    return value


def _size(value: Json) -> int:
    return len(canonical(value))
