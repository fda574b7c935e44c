"""A request that no model takes as it is, with less text. Pure.

Long texts keep their beginnings and their ends, all cut to the same length. Where that leaves too little of each, the oldest turns of the
conversation go. What a system message says stays whole, and every cut says what is missing.
"""

from bisect import bisect_right
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from shadowgraph.core.calls import LlmRequest
from shadowgraph.core.json import Json, JsonObject
from shadowgraph.core.text import shorten_text
from shadowgraph.llm.usage import estimate_prompt_tokens, max_completion_tokens

ROOM_SHARE = 0.8
"""Of what a model takes beside its answer: we only estimate tokens."""
GUESS_SHARE = 0.5
"""Of what was refused, where nobody said how much the model takes, or our estimate says that it would have fitted."""
ANSWER_SHARE = 0.25
"""Of the model's context, for an answer that the request does not limit."""
MIN_CHARACTERS = 200
"""Of a text: with less it is better left out."""
_RULES = frozenset({"system", "developer"})


@dataclass(frozen=True, slots=True)
class Shortened:
    request: LlmRequest
    left_out_characters: int


def shorten_request(request: LlmRequest, *, context_tokens: int | None) -> Shortened | None:
    """`context_tokens`: what the model takes, answer included. None: nothing is left that could be cut."""
    room = room_for(request, context_tokens=context_tokens)
    for messages in _without_oldest_turns(request.messages):
        shorter = _cut_to_fit(replace(request, messages=messages), tokens=room)
        if shorter:
            return Shortened(shorter, _characters(request.messages) - _characters(shorter.messages))
    return None


def room_for(request: LlmRequest, *, context_tokens: int | None) -> int:
    """Tokens of the prompt."""
    asked = estimate_prompt_tokens(request)
    guess = int(asked * GUESS_SHARE)
    if context_tokens is None:
        return guess
    answer = max_completion_tokens(request) or int(context_tokens * ANSWER_SHARE)
    room = int((context_tokens - answer) * ROOM_SHARE)
    return room if room < asked else guess


def _without_oldest_turns(messages: Sequence[JsonObject]) -> Iterator[Sequence[JsonObject]]:
    """All of them, then one turn less each time; the last one stays. A turn begins with what a person says."""
    yield messages
    begins = [index for index, message in enumerate(messages) if message.get("role") == "user"]
    for begin in begins[1:]:
        rules = [message for message in messages[:begin] if message.get("role") in _RULES]
        note = f"[cut: {begin - len(rules)} earlier messages of this conversation]"
        yield [*rules, {"role": "user", "content": note}, *messages[begin:]]


def _cut_to_fit(request: LlmRequest, *, tokens: int) -> LlmRequest | None:
    """With the longest texts that fit."""
    if estimate_prompt_tokens(_cut(request, MIN_CHARACTERS)) > tokens:
        return None
    longest = max((len(text) for message in request.messages for text in _texts(message)), default=0)
    lengths = range(MIN_CHARACTERS, max(MIN_CHARACTERS, longest) + 1)
    fitting = bisect_right(lengths, tokens, key=lambda length: estimate_prompt_tokens(_cut(request, length)))
    return _cut(request, lengths[fitting - 1])


def _cut(request: LlmRequest, length: int) -> LlmRequest:
    def cut(text: str) -> str:
        return shorten_text(text, max_characters=length)

    messages = [message if message.get("role") in _RULES else _with_texts(message, cut) for message in request.messages]
    return replace(request, messages=messages)


def _with_texts(message: JsonObject, change: Callable[[str], str]) -> JsonObject:
    return {**message, "content": _changed(message.get("content"), change)} if "content" in message else message


def _changed(content: Json, change: Callable[[str], str]) -> Json:
    if isinstance(content, str):
        return change(content)
    if isinstance(content, Mapping):
        text = content.get("text")
        return {**content, "text": change(text)} if isinstance(text, str) else content
    return [_changed(block, change) for block in content] if isinstance(content, Sequence) else content


def _texts(message: JsonObject) -> list[str]:
    found: list[str] = []

    def note(text: str) -> str:
        found.append(text)
        return text

    _with_texts(message, note)
    return found


def _characters(messages: Sequence[JsonObject]) -> int:
    return sum(len(text) for message in messages for text in _texts(message))
