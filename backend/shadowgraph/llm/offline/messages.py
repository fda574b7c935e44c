"""What a chat holds, read from OpenAI-shaped messages: instructions, the request, quoted sections, tool results."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

Message = Mapping[str, Any]

MAX_SECTIONS = 40
"""Sections beyond this many are read as plain text: reading stays linear in the size of a prompt."""
_OPEN_TAG = re.compile(r"<([a-z][a-z0-9_-]{0,40})(?: [^<>]{0,200})?>", re.IGNORECASE)
_UNPRINTABLE = re.compile(r"[\x00-\x08\x0b-\x1f\x7f\u200b-\u200f\u202a-\u202e\u2066-\u2069\ufeff\ud800-\udfff]")
_CORRECTION = re.compile(
    r"\s*(?:error\b|invalid\b|validation\b|your (?:last |previous |first )?(?:answer|reply|output|response)\b"
    r"|(?:the|that|this) (?:answer|reply|output|response) (?:did|was|is|does|could)\b|please (?:fix|correct|answer again|try again))",
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True)
class ToolResult:
    tool: str
    """`""` when the message does not say whose result it is."""
    text: str


@dataclass(frozen=True, slots=True)
class Section:
    """`<tag>text</tag>` in a user message."""

    tag: str
    text: str


@dataclass(frozen=True, slots=True)
class Conversation:
    request: str
    """What the user wants, in the user's own words."""
    instructions: str
    """System prompt, and what stands around the sections of a rendered user prompt."""
    sections: tuple[Section, ...]
    results: tuple[ToolResult, ...]
    """Of tools called since the last user message."""
    speakers: frozenset[str]
    """Names of assistants that have already spoken."""
    assistant_turns: int


def text_of(message: Message) -> str:
    """The text of a message whose content is a string, a list of parts, or absent."""
    content = message.get("content")
    if isinstance(content, str):
        return _printable(content)
    if not isinstance(content, Sequence):
        return ""
    parts = (
        part if isinstance(part, str) else part.get("text", "") for part in content if isinstance(part, str | Mapping)
    )
    return _printable("\n".join(part for part in parts if isinstance(part, str) and part))


def read_conversation(messages: Sequence[Message]) -> Conversation:
    system = "\n".join(text_of(message) for message in messages if message.get("role") in {"system", "developer"})
    users = [text_of(message) for message in messages if message.get("role") == "user"]
    assistants = [message for message in messages if message.get("role") == "assistant"]
    request, around = _find_request(users)
    sections, loose = read_sections(around)
    return Conversation(
        request=request.strip(),
        instructions=f"{system}\n{loose}",
        sections=sections,
        results=_results_of_this_turn(messages),
        speakers=frozenset(str(message["name"]).lower() for message in assistants if message.get("name")),
        assistant_turns=len(assistants),
    )


def read_sections(text: str) -> tuple[tuple[Section, ...], str]:
    """The top-level sections of a text, and the text without them."""
    found: list[Section] = []
    loose: list[str] = []
    position = 0
    while len(found) < MAX_SECTIONS and (opened := _OPEN_TAG.search(text, position)):
        end = text.find(f"</{opened[1]}>", opened.end())
        if end < 0:
            break
        found.append(Section(opened[1].lower(), text[opened.end() : end].strip()))
        loose.append(text[position : opened.start()])
        position = end + len(opened[1]) + 3
    return tuple(found), "".join([*loose, text[position:]])


def _find_request(users: Sequence[str]) -> tuple[str, str]:
    """The request, and the rest of the message that held it in a `<request>` section (`""` when nothing was marked)."""
    for text in reversed(users):
        opened = re.search(r"<request(?: [^<>]{0,200})?>", text)
        end = text.rfind("</request>")
        if opened and end >= opened.end():
            return text[opened.end() : end], f"{text[: opened.start()]}\n{text[end + len('</request>') :]}"
    spoken = [text for text in users if not _CORRECTION.match(text)]
    return (spoken or list(users) or [""])[-1], ""


def _results_of_this_turn(messages: Sequence[Message]) -> tuple[ToolResult, ...]:
    last_user = max((index for index, message in enumerate(messages) if message.get("role") == "user"), default=-1)
    turn = messages[last_user + 1 :]
    names = {
        call.get("id"): str((call.get("function") or {}).get("name") or "")
        for message in turn
        for call in message.get("tool_calls") or ()
    }
    return tuple(
        ToolResult(str(message.get("name") or names.get(message.get("tool_call_id")) or ""), text_of(message))
        for message in turn
        if message.get("role") == "tool"
    )


def _printable(text: str) -> str:
    """Without control, bidirectional and zero-width characters and lone surrogates; they have no place in files."""
    return _UNPRINTABLE.sub("", text)
