"""Graph values as plain JSON: for results, step outputs and summaries. One way only; checkpoints keep the true objects."""

from collections.abc import Callable, Mapping, Sequence, Set
from dataclasses import fields, is_dataclass
from datetime import date, datetime
from enum import Enum
from math import isfinite
from typing import Any

from langchain_core.messages import BaseMessage
from pydantic import BaseModel

from shadowgraph.core.json import Json
from shadowgraph.core.text import sanitise_text

MAX_SUMMARY_CHARACTERS = 300
INTEGER_LIMIT = 1 << 63
"""JSON integers beyond 64 bits cannot be stored; they become text."""


def to_json(value: Any) -> Json:
    """What a person or another service can read. Text that no database can store is replaced, unknown objects become their `str`."""
    plain = _PLAIN.get(type(value))
    return plain(value) if plain else _other(value)


def _other(value: Any) -> Json:
    if isinstance(value, Enum):
        return to_json(value.value)
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, int):
        return value if -INTEGER_LIMIT <= value < INTEGER_LIMIT else str(value)
    if isinstance(value, float):
        return value if isfinite(value) else None
    if isinstance(value, str):
        return sanitise_text(value)
    return _container(value)


_PLAIN: Mapping[type, Callable[[Any], Json]] = {
    str: sanitise_text,
    bool: lambda value: value,
    type(None): lambda value: value,
    dict: lambda value: {sanitise_text(str(key)): to_json(item) for key, item in value.items()},
    list: lambda value: [to_json(item) for item in value],
}
"""What nearly all values are, told by one look; subclasses go the long way."""


def _container(value: Any) -> Json:
    if isinstance(value, BaseMessage):
        return _message(value)
    if isinstance(value, BaseModel):
        return to_json(value.model_dump())
    if is_dataclass(value) and not isinstance(value, type):
        return {item.name: to_json(getattr(value, item.name)) for item in fields(value)}
    if isinstance(value, Mapping):
        return {sanitise_text(str(key)): to_json(item) for key, item in value.items()}
    if isinstance(value, bytes | bytearray):
        return {"bytes": len(value)}
    if isinstance(value, Sequence | Set):
        return [to_json(item) for item in value]
    if isinstance(value, datetime | date):
        return value.isoformat()
    return sanitise_text(str(value))


def _message(message: BaseMessage) -> Json:
    known = {"type": message.type, "content": message.content, "id": message.id, "name": message.name}
    calls = getattr(message, "tool_calls", None)
    return {key: to_json(item) for key, item in {**known, "tool_calls": calls}.items() if item}


def last_message_text(value: Json) -> str | None:
    """The text of the last message of a state that has `messages`."""
    messages = value.get("messages") if isinstance(value, Mapping) else None
    if not isinstance(messages, Sequence) or isinstance(messages, str) or not messages:
        return None
    last = messages[-1]
    content = last.get("content") if isinstance(last, Mapping) else None
    return _text_of(content) if isinstance(content, Sequence) else None


def _text_of(content: Sequence[Json]) -> str:
    """Of a text, or of a list of blocks: what is no text (an image, a thought) is left out."""
    if isinstance(content, str):
        return content
    blocks = ({"text": block} if isinstance(block, str) else block for block in content)
    texts = (block.get("text") for block in blocks if isinstance(block, Mapping))
    return "".join(text for text in texts if isinstance(text, str))


def summarise(value: Json) -> str:
    """One line that says what a value is about."""
    if isinstance(value, Mapping):
        text = ", ".join(f"{key}: {_short(item)}" for key, item in value.items())
    else:
        text = _short(value)
    return text if len(text) <= MAX_SUMMARY_CHARACTERS else text[: MAX_SUMMARY_CHARACTERS - 1] + "…"


def _short(value: Json) -> str:
    if isinstance(value, str):
        line = " ".join(value.split())
        return line if len(line) <= 80 else line[:79] + "…"
    if isinstance(value, Mapping):
        return f"{len(value)} fields"
    if isinstance(value, Sequence):
        return f"{len(value)} items"
    return str(value)
