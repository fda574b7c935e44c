"""One request to the offline model, from knobs to pieces: what both its faces (LangChain and HTTP) share. Deciding is pure; only
`stream_reply` and its twin for threads wait."""

import asyncio
import json
import time
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from itertools import chain
from typing import Any

from shadowgraph.core.json import canonical
from shadowgraph.llm.offline.brain import Reply, ToolCall, reply
from shadowgraph.llm.offline.calls import CallPlace
from shadowgraph.llm.offline.knobs import Failure, Knobs, NodeKnobs
from shadowgraph.llm.offline.messages import Message, text_of
from shadowgraph.llm.offline.tokens import TOKENS_PER_PIECE, count_tokens, cut_to, split_pieces
from shadowgraph.llm.offline.trouble import Trouble, decide_trouble, noise_seed

MODEL_NAME = "offline-demo-1"
TOKENS_PER_MESSAGE = 4
"""For the frame around each message, as the usual tokenizers count it."""


@dataclass(frozen=True, slots=True)
class OfflineRequest:
    """A chat request in OpenAI's shape."""

    messages: Sequence[Message]
    tools: Sequence[Mapping[str, Any]] = ()
    tool_choice: Any = None
    response_format: Mapping[str, Any] | None = None
    stop: Sequence[str] = ()
    max_tokens: int | None = None
    """Cuts text; a tool call stays whole, because half of its arguments are no JSON."""
    is_parallel: bool = True
    """Several tools may be called at once."""


@dataclass(frozen=True, slots=True)
class Tokens:
    """An estimate, and marked as one wherever it shows."""

    prompt: int
    completion: int


@dataclass(frozen=True, slots=True)
class TextPiece:
    text: str


@dataclass(frozen=True, slots=True)
class ToolPiece:
    """Part of a tool call; id and name come with the first part."""

    index: int
    arguments: str
    id: str | None = None
    name: str | None = None


@dataclass(frozen=True, slots=True)
class End:
    """The last piece of every whole answer."""

    finish_reason: str
    tokens: Tokens
    price_usd: Decimal | None = None


Piece = TextPiece | ToolPiece | End


class InjectedFailure(Exception):
    """The knobs say that this attempt fails before its first piece. Each face turns it into what its provider would raise."""

    def __init__(self, failure: Failure) -> None:
        super().__init__(f"injected by OFFLINE_MODEL: {failure.status}")
        self.failure = failure


class InjectedCut(Exception):
    """The knobs say that the connection breaks here."""

    def __init__(self) -> None:
        super().__init__("injected by OFFLINE_MODEL: the peer closed the connection in the middle of the answer")


@dataclass(frozen=True, slots=True)
class Answer:
    """A whole answer, before it is sent."""

    text: str
    tool_calls: tuple[ToolCall, ...]
    finish_reason: str
    tokens: Tokens
    price_usd: Decimal | None = None

    def pieces(self) -> Iterator[Piece]:
        calls = (_split_call(index, call) for index, call in enumerate(self.tool_calls))
        yield from map(TextPiece, split_pieces(self.text))
        yield from chain.from_iterable(calls)
        yield End(self.finish_reason, self.tokens, self.price_usd)


@dataclass(frozen=True, slots=True)
class Pause:
    """Time that passes before the next piece."""

    seconds: float


@dataclass(frozen=True, slots=True)
class Sending:
    """One attempt as it will go: what is sent when, and how it ends."""

    request: OfflineRequest
    knobs: NodeKnobs
    place: CallPlace
    trouble: Trouble = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "trouble", decide_trouble(self.knobs, self.place))

    def steps(self) -> Iterator[Pause | Piece]:
        """Errors: `InjectedFailure`, `InjectedCut`, at their place in the stream."""
        if self.trouble.delay_seconds:
            yield Pause(self.trouble.delay_seconds)
        if self.trouble.failure:
            raise InjectedFailure(self.trouble.failure)
        between = self.knobs.token_ms * TOKENS_PER_PIECE / 1000
        for number, piece in enumerate(answer(self.request, self.knobs, self.place).pieces()):
            # An answer shorter than that breaks just before its end: it was to break.
            if self.trouble.cut_after is not None and (number >= self.trouble.cut_after or isinstance(piece, End)):
                raise InjectedCut
            if between and not isinstance(piece, End):
                yield Pause(between)
            yield piece


def send(request: OfflineRequest, *, knobs: Knobs, place: CallPlace) -> Sending:
    return Sending(request, knobs.for_node(place.node), place)


async def stream_reply(sending: Sending) -> AsyncIterator[Piece]:
    """Errors: `InjectedFailure`, `InjectedCut`."""
    for step in sending.steps():
        if isinstance(step, Pause):
            await asyncio.sleep(step.seconds)
        else:
            yield step


def iterate_reply(sending: Sending) -> Iterator[Piece]:
    """`stream_reply` for a thread that may sleep."""
    for step in sending.steps():
        if isinstance(step, Pause):
            time.sleep(step.seconds)
        else:
            yield step


def answer(request: OfflineRequest, knobs: NodeKnobs, place: CallPlace) -> Answer:
    """What the brain says, cut by stop words and by the limit of tokens."""
    said = reply(
        request.messages,
        tools=request.tools,
        tool_choice=request.tool_choice,
        response_format=request.response_format,
        is_parallel=request.is_parallel,
        seed=noise_seed(knobs, place),
        noise=knobs.noise,
    )
    text = _until_stop(said.text, request.stop)
    finish_reason = "tool_calls" if said.tool_calls else "stop"
    if request.max_tokens is not None and count_tokens(text) > request.max_tokens:
        text, finish_reason = cut_to(text, request.max_tokens), "length"
    tokens = Tokens(count_prompt_tokens(request), _count_completion_tokens(text, said))
    return Answer(text, said.tool_calls, finish_reason, tokens, knobs.price_usd_per_call)


def count_prompt_tokens(request: OfflineRequest) -> int:
    spoken = sum(count_tokens(text_of(message)) + TOKENS_PER_MESSAGE for message in request.messages)
    called = sum(
        count_tokens(_json(message["tool_calls"])) for message in request.messages if message.get("tool_calls")
    )
    return spoken + called + (count_tokens(_json(list(request.tools))) if request.tools else 0)


def arguments_json(call: ToolCall) -> str:
    """As models send it: readable characters, not escapes."""
    return json.dumps(call.arguments, ensure_ascii=False)


def _count_completion_tokens(text: str, said: Reply) -> int:
    return count_tokens(text) + sum(count_tokens(arguments_json(call)) + TOKENS_PER_MESSAGE for call in said.tool_calls)


def _until_stop(text: str, stop: Sequence[str]) -> str:
    ends = [text.index(word) for word in stop if word and word in text]
    return text[: min(ends)] if ends else text


def _split_call(index: int, call: ToolCall) -> Iterator[ToolPiece]:
    first, *rest = split_pieces(arguments_json(call))
    yield ToolPiece(index, first, call.id, call.name)
    yield from (ToolPiece(index, part) for part in rest)


def _json(value: Any) -> str:
    return canonical(value).decode()
