"""Routes of models, and breakers, on the wire."""

from datetime import datetime
from typing import Annotated, Literal

from pydantic import AfterValidator, ConfigDict, Field, StringConstraints

from shadowgraph.api.schemas.common import Name, Received, Sent
from shadowgraph.core.settings import RATE_PATTERN
from shadowgraph.llm.providers.known import KNOWN
from shadowgraph.llm.routes import BadModelName, WhenNoKey, parse_target
from shadowgraph.reliability.breaker import State

MAX_TARGETS = 20
MAX_SECONDS = 3_600.0
MAX_CONTEXT_TOKENS = 100_000_000


def _require_target(model: str) -> str:
    try:
        target = parse_target(model)
    except BadModelName as error:
        raise ValueError(error.message) from None
    if target.provider not in KNOWN:
        raise ValueError(f"there is no provider {target.provider!r}; there are: {', '.join(KNOWN)}")
    return model


def _require_different(targets: list["NewTarget"]) -> list["NewTarget"]:
    if len({target.model for target in targets}) < len(targets):
        raise ValueError("names a target twice")
    return targets


Seconds = Annotated[float, Field(gt=0, le=MAX_SECONDS, allow_inf_nan=False)]
WHEN_NO_KEY = "`skip`: targets that are not set up are passed over; `fail`: they end the call."
RATE_LIMIT = "Requests over all its targets and all processes, such as 30/minute; a bare number counts per minute."


class NewTarget(Received):
    model: Annotated[Name, AfterValidator(_require_target)] = Field(description="provider:model")
    first_token_seconds: Seconds | None = Field(default=None, description="Without a word by then it is given up.")
    total_seconds: Seconds | None = Field(default=None, description="So it is when its answer is not whole by then.")
    context_tokens: Annotated[int, Field(gt=0, le=MAX_CONTEXT_TOKENS)] | None = Field(
        default=None, description="How much text the model takes: prompts that are too long go to one that takes more."
    )


class NewRoute(Received):
    model_config = ConfigDict(
        json_schema_extra={
            "examples": [{"targets": [{"model": "groq:openai/gpt-oss-120b"}], "rate_limit": "30/minute"}]
        }
    )

    targets: Annotated[
        list[NewTarget], Field(min_length=1, max_length=MAX_TARGETS), AfterValidator(_require_different)
    ] = Field(description="In the order in which they are asked.")
    when_no_key: WhenNoKey = Field(default="skip", description=WHEN_NO_KEY)
    rate_limit: Annotated[str, StringConstraints(pattern=RATE_PATTERN)] | None = Field(
        default=None, description=RATE_LIMIT
    )


class TargetState(Sent):
    model: str = Field(description="provider:model")
    first_token_seconds: float | None
    total_seconds: float | None
    context_tokens: int | None
    set_up: bool = Field(description="This server's settings have what its provider needs.")
    missing: str | None = Field(description="What to do before it can be asked.")
    breaker: State


class ModelRoute(Sent):
    name: str
    number: int = Field(description="Rises with every change; each attempt records it. 0: as the settings say.")
    targets: list[TargetState]
    when_no_key: WhenNoKey = Field(description=WHEN_NO_KEY)
    rate_limit: str | None = Field(description=RATE_LIMIT)
    answered_by: str | None = Field(
        description="The first target that is set up; `offline`: the rule-based demo model, because none is; null: calls fail."
    )
    changed_at: datetime | None = Field(description="null: nobody has changed it.")
    changed_by: str | None
    links: dict[str, str]


class RouteList(Sent):
    items: list[ModelRoute]
    next_cursor: None = Field(default=None, description="Always null: the list is whole.")


class RemovedRoute(Sent):
    name: str
    removed: Literal[True] = True


class BreakerState(Sent):
    provider: str
    model: str
    state: State = Field(description="half_open: one call may try it.")
    open_seconds: float = Field(description="Until it is half-open; 0 when it is not open.")
    failures: int = Field(description="In a row, when it opened last.")
    error: str = Field(description="The last one before it opened.")
    opened_at: datetime = Field(description="The first time since it was closed last.")
    changed_at: datetime


class BreakerList(Sent):
    """Targets that were ever found ill; all others are closed."""

    items: list[BreakerState]
    next_cursor: None = Field(default=None, description="Always null: the list is whole.")
