"""What an adapter of a provider has to offer. Values are plain: no type of any library crosses this line."""

from collections.abc import AsyncGenerator, Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Protocol

from shadowgraph.core.calls import LlmRequest, Usage

IDEMPOTENCY_HEADER = "Idempotency-Key"
"""`run:key`, the same for every attempt of a call. The chat APIs of today ignore it; a proxy in between need not."""


@dataclass(frozen=True, slots=True)
class Target:
    provider: str
    model: str

    def __str__(self) -> str:
        return f"{self.provider}:{self.model}"


@dataclass(frozen=True, slots=True)
class ToolCallPiece:
    """Part of a tool call; parts with the same index belong together, their arguments are JSON text to be joined."""

    index: int
    id: str | None = None
    name: str | None = None
    arguments: str = ""


@dataclass(frozen=True, slots=True)
class Chunk:
    """One piece of a streamed answer. Facts about the whole come with whichever piece the provider sends them."""

    text: str = ""
    tool_calls: tuple[ToolCallPiece, ...] = ()
    usage: Usage | None = None
    finish_reason: str | None = None
    """Why the answer is over."""
    model: str | None = None
    synthetic: bool = False
    reported_cost: Decimal | None = None
    """USD."""
    headers: Mapping[str, str] | None = None
    """Of the response, which tell of the provider's limits."""


class ErrorInAnswer(Exception):
    """The server said 200, and an error is where the answer should be."""

    def __init__(self, body: Mapping[str, Any]) -> None:
        """`body`: the error itself, with its code and message."""
        super().__init__(str(body.get("message")))
        self.body = body


class Provider(Protocol):
    """One adapter per provider. Never retries, never waits for a limit: the gateway does."""

    def current_name(self, model: str) -> str:
        """The name that is asked for when `model` is meant: models get retired."""
        ...

    def stream(self, request: LlmRequest, target: Target, *, headers: Mapping[str, str]) -> AsyncGenerator[Chunk, None]:
        """A whole answer says its finish reason; a stream that ends without one is taken as broken.

        Errors: whatever the provider's library raises; `llm/classify.py` makes sense of it."""
        ...
