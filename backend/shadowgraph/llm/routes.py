"""A route: a name, and the targets that answer for it, in order. Live configuration, never part of a request's hash."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal, Protocol

from shadowgraph.core.errors import Invalid
from shadowgraph.llm.port import Target

DEFAULT_ROUTE = "default"
FROM_SETTINGS = 0
"""Number of a route that nobody has changed since the settings said it."""

KNOWN_CONTEXT_TOKENS = {"openai/gpt-oss-120b": 131_072, "openai/gpt-oss-20b": 131_072}
"""Of the models that the default route names unasked."""

WhenNoKey = Literal["skip", "fail"]


class BadModelName(Invalid):
    code = "bad_model_name"


class UnknownRoute(Invalid):
    code = "unknown_route"


@dataclass(frozen=True, slots=True)
class RouteTarget:
    """None: as for every target."""

    target: Target
    first_token_seconds: float | None = None
    total_seconds: float | None = None
    context_tokens: int | None = None
    """How much text the model takes; None: not known, so that it is tried when another one takes less than a request has."""


@dataclass(frozen=True, slots=True)
class Route:
    name: str
    targets: tuple[RouteTarget, ...]
    number: int = FROM_SETTINGS
    """Rises with every change of the route."""
    rate_limit: str | None = None
    """Requests over all its targets and all processes, such as `30/minute`."""
    when_no_key: WhenNoKey = "skip"
    """fail: a target that is not set up ends the call instead of being passed over."""


class RouteSource(Protocol):
    """The routes as they are now."""

    async def find(self, name: str) -> Route | None: ...


class FixedRoutes:
    """Implements `RouteSource`: what nobody can change."""

    def __init__(self, routes: Iterable[Route]) -> None:
        self._routes = {route.name: route for route in routes}

    async def find(self, name: str) -> Route | None:
        return self._routes.get(name)


def seed_route(models: Iterable[str]) -> Route:
    """The route `default` as the settings say it: `provider:model`, in order."""
    targets = [parse_target(model) for model in models]
    return Route(
        DEFAULT_ROUTE,
        tuple(RouteTarget(target, context_tokens=KNOWN_CONTEXT_TOKENS.get(target.model)) for target in targets),
    )


def only(*targets: Target) -> FixedRoutes:
    """One route, the default one, of these targets."""
    return FixedRoutes([Route(DEFAULT_ROUTE, tuple(map(RouteTarget, targets)))])


def parse_target(text: str) -> Target:
    """Errors: `BadModelName`."""
    provider, colon, name = text.partition(":")
    if not (provider and colon and name):
        raise BadModelName(f"{text!r} is no model: write provider:model, such as groq:openai/gpt-oss-120b", model=text)
    return Target(provider, name)
