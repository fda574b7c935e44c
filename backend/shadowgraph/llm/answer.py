"""Puts a streamed answer together."""

import json
from dataclasses import dataclass, field
from decimal import Decimal

from shadowgraph.core.calls import Completion, LlmRequest, ToolCall, Usage
from shadowgraph.core.text import MAX_DEPTH, NotJson, sanitise, sanitise_text
from shadowgraph.llm.errors import AnswerRefused
from shadowgraph.llm.port import Chunk, Target, ToolCallPiece
from shadowgraph.llm.usage import complete_usage

MAX_ANSWER_CHARACTERS = 1_000_000
"""An answer that goes on beyond this is ended, with the finish reason `length`."""
_HIGH_SURROGATES = ("\ud800", "\udbff")


@dataclass(slots=True)
class Answer:
    """What has arrived of one attempt."""

    target: Target
    text_pieces: list[str] = field(default_factory=list)
    characters: int = 0
    usage: Usage | None = None
    finish_reason: str | None = None
    model: str | None = None
    synthetic: bool = False
    reported_cost: Decimal | None = None
    """USD, when the provider itself said what the answer costs."""
    _calls: dict[int, list[ToolCallPiece]] = field(default_factory=dict)
    _held_back: str = ""
    """Half a character: some servers cut between the two halves of an emoji."""

    @property
    def has_begun(self) -> bool:
        return bool(self.text_pieces or self._calls)

    @property
    def is_full(self) -> bool:
        return self.characters >= MAX_ANSWER_CHARACTERS

    def add(self, chunk: Chunk) -> str:
        """The chunk's text, cleaned: what may be shown now."""
        for piece in chunk.tool_calls:
            self._calls.setdefault(piece.index, []).append(piece)
            self.characters += len(piece.arguments)
        self.usage = _sum(self.usage, chunk.usage)
        self.finish_reason = chunk.finish_reason or self.finish_reason
        self.model = chunk.model or self.model
        self.synthetic = self.synthetic or chunk.synthetic
        self.reported_cost = self.reported_cost if chunk.reported_cost is None else chunk.reported_cost
        return self._add_text(chunk.text)

    def _add_text(self, text: str) -> str:
        text, self._held_back = self._held_back + text, ""
        if text and _HIGH_SURROGATES[0] <= text[-1] <= _HIGH_SURROGATES[1]:
            text, self._held_back = text[:-1], text[-1]
        clean = sanitise_text(text, max_characters=MAX_ANSWER_CHARACTERS - self.characters)
        if clean:
            self.text_pieces.append(clean)
            self.characters += len(clean)
        return clean

    def usage_so_far(self, request: LlmRequest) -> Usage:
        """For an answer that will not be completed."""
        return complete_usage(self.usage, request=request, answer=self._written())

    def _written(self) -> str:
        arguments = (piece.arguments for pieces in self._calls.values() for piece in pieces)
        return "".join([*self.text_pieces, *arguments])

    def to_completion(self, request: LlmRequest) -> Completion:
        """Errors: `AnswerRefused` when a tool call is no JSON object."""
        calls = tuple(_tool_call(index, pieces) for index, pieces in sorted(self._calls.items()))
        return Completion(
            text="".join(self.text_pieces),
            model=self.model or self.target.model,
            provider=self.target.provider,
            usage=complete_usage(self.usage, request=request, answer=self._written()),
            tool_calls=calls,
            finish_reason="length" if self.is_full else self.finish_reason or "stop",
            synthetic=self.synthetic,
        )


def _tool_call(index: int, pieces: list[ToolCallPiece]) -> ToolCall:
    name = sanitise_text("".join(piece.name or "" for piece in pieces))
    call_id = sanitise_text("".join(piece.id or "" for piece in pieces)) or f"call_{index}"
    text = "".join(piece.arguments for piece in pieces)
    try:
        # Python's own parser: it takes lone surrogates, NaN and raw line breaks, which are then cleaned like all other text.
        arguments = sanitise(json.loads(text, strict=False) if text.strip() else {})
    except json.JSONDecodeError as error:
        raise AnswerRefused(f"the arguments of the call of {name!r} are no JSON: {error}") from error
    except (NotJson, RecursionError) as error:
        raise AnswerRefused(f"the arguments of the call of {name!r} are nested deeper than {MAX_DEPTH}") from error
    if not isinstance(arguments, dict):
        raise AnswerRefused(f"the arguments of the call of {name!r} are no JSON object")
    return ToolCall(call_id, name, arguments)


def _sum(first: Usage | None, second: Usage | None) -> Usage | None:
    """Providers send the prompt's tokens with one piece and the answer's with another, or all with one."""
    if first is None or second is None:
        return first or second
    return Usage(
        first.prompt_tokens + second.prompt_tokens,
        first.completion_tokens + second.completion_tokens,
        first.cached_tokens + second.cached_tokens,
        first.reasoning_tokens + second.reasoning_tokens,
        source="estimated" if "estimated" in (first.source, second.source) else "provider",
    )
