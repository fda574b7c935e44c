"""Which providers and models may answer a request, in order."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

from shadowgraph.core.calls import LlmRequest
from shadowgraph.core.errors import Invalid, Unavailable
from shadowgraph.llm.attempt import TimeLimits
from shadowgraph.llm.port import Provider, Target
from shadowgraph.llm.routes import Route, RouteSource, RouteTarget, UnknownRoute, parse_target


class NoProvider(Unavailable):
    """A graph asks for a provider that this process has no key for."""

    code = "no_provider"
    retryable = False


@dataclass(frozen=True, slots=True)
class Candidate:
    """A target that can be asked here."""

    provider: Provider
    target: Target
    limits: TimeLimits
    context_tokens: int | None = None


class MixedModels(Invalid):
    """Rules and a language model would both have had a hand in one result."""

    code = "mixed_models"


@dataclass(slots=True)
class Company:
    """Who answers the calls of one run: the offline model, or anybody else, but never both."""

    is_stand_in: bool | None = None
    """None: nobody has answered yet."""

    def require(self, *, is_stand_in: bool, agent: str) -> None:
        """Errors: `MixedModels`."""
        if self.is_stand_in is None:
            self.is_stand_in = is_stand_in
        if self.is_stand_in is not is_stand_in:
            raise MixedModels(
                f"{agent!r} would be answered by {'the offline model' if is_stand_in else 'a provider'}, and other calls of this run were not",
                hint="set up a provider for each route and model that the run asks for, or for none of them",
                agent=agent,
            )


@dataclass(frozen=True, slots=True)
class Plan:
    """Whom to ask, in order."""

    candidates: tuple[Candidate, ...]
    """At least one."""
    route: str | None = None
    route_number: int | None = None
    rate_limit: str | None = None
    is_stand_in: bool = False
    """The offline model answers, because no target is set up."""


@dataclass(frozen=True, slots=True)
class StandIn:
    """Answers for routes of which no target is set up."""

    provider: Provider
    target: Target


class Targets:
    """The providers of this process, those that are set up."""

    def __init__(
        self,
        providers: Mapping[str, Provider],
        *,
        routes: RouteSource,
        stand_in: StandIn | None = None,
        limits: TimeLimits | None = None,
        explain: Callable[[str], str | None] = lambda _provider: None,
    ) -> None:
        """`explain`: what a provider lacks that is not set up."""
        self._providers = providers
        self._routes = routes
        self._stand_in = stand_in
        self._limits = limits or TimeLimits()
        self._explain = explain

    async def plan(self, request: LlmRequest) -> Plan:
        """Errors: `BadModelName`, `UnknownRoute`, `NoProvider`."""
        if request.model:
            named = self._named(request, parse_target(request.model))
            return Plan((named,), is_stand_in=self._is_stand_in(named))
        route = await self._routes.find(request.route)
        if route is None:
            raise UnknownRoute(
                f"{request.agent!r} asks for the route {request.route!r}, which does not exist",
                hint="a model is named as provider:model; shadowgraph routes list shows the routes",
                route=request.route,
            )
        candidates = self._candidates(request, route)
        is_stand_in = self._is_stand_in(candidates[0])
        return Plan(candidates, route.name, route.number, route.rate_limit, is_stand_in)

    def _is_stand_in(self, candidate: Candidate) -> bool:
        return self._stand_in is not None and candidate.provider is self._stand_in.provider

    def _named(self, request: LlmRequest, target: Target) -> Candidate:
        stand_in = self._stand_in
        if stand_in and not self._providers and target.provider == stand_in.target.provider:
            return Candidate(stand_in.provider, target, self._limits)
        return self._candidate(request, RouteTarget(target))

    def _candidates(self, request: LlmRequest, route: Route) -> tuple[Candidate, ...]:
        set_up = [wanted for wanted in route.targets if wanted.target.provider in self._providers]
        if route.when_no_key == "fail" or not (set_up or self._stand_in):
            set_up = list(route.targets)
        if not set_up and self._stand_in:
            return (Candidate(self._stand_in.provider, self._stand_in.target, self._limits),)
        return tuple(self._candidate(request, wanted) for wanted in set_up)

    def _candidate(self, request: LlmRequest, wanted: RouteTarget) -> Candidate:
        target = wanted.target
        provider = self._providers.get(target.provider)
        if provider is None:
            raise NoProvider(
                f"{request.agent!r} asks for {target}, and the provider {target.provider!r} is not set up here",
                hint=self._explain(target.provider),
                agent=request.agent,
                model=str(target),
            )
        limits = replace(
            self._limits,
            first_token_seconds=wanted.first_token_seconds or self._limits.first_token_seconds,
            total_seconds=wanted.total_seconds or self._limits.total_seconds,
        )
        current = Target(target.provider, provider.current_name(target.model))
        return Candidate(provider, current, limits, wanted.context_tokens)
