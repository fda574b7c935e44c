"""What an attempt has to pass before it may start: targets out of use, breakers, limits. One per process."""

import logging
from collections.abc import Collection, Mapping
from typing import Protocol

from shadowgraph.core.clock import Clock
from shadowgraph.llm.errors import AnswerRefused, BadCredentials, CircuitOpen, ModelGone, ProviderError, RateLimited
from shadowgraph.llm.port import Target
from shadowgraph.llm.targets import Candidate, Plan
from shadowgraph.reliability.breaker import Breakers, CallRefused, LocalBreakers, Permit
from shadowgraph.reliability.limits import Reported

logger = logging.getLogger(__name__)

PROBE_SPARE_SECONDS = 10.0
"""On top of what a call may take, before its permit to probe is given to somebody else."""


_REPORTED = (ModelGone.code, BadCredentials.code)


class RateLimiter(Protocol):
    """Limits that we set ourselves, for a route or a provider."""

    async def take(self, route: str | None, rate_limit: str | None, provider: str) -> float:
        """Counts one request; else the seconds after which it may be tried again."""
        ...


class Watch(Protocol):
    """Tells people of a target that is not asked any more."""

    async def report(self, kind: str, target: Target, message: str) -> None: ...

    async def take_back(self, kinds: Collection[str], target: Target) -> None:
        """What was reported of the target is over: it has answered."""
        ...


class Unlimited:
    """Implements `RateLimiter`."""

    async def take(self, route: str | None, rate_limit: str | None, provider: str) -> float:
        return 0.0


class Silence:
    """Implements `Watch`: what is logged must do."""

    async def report(self, kind: str, target: Target, message: str) -> None:
        pass

    async def take_back(self, kinds: Collection[str], target: Target) -> None:
        pass


class Gate:
    def __init__(
        self,
        clock: Clock,
        *,
        breakers: Breakers | None = None,
        limiter: RateLimiter | None = None,
        watch: Watch | None = None,
    ) -> None:
        self._breakers = breakers or Breakers(LocalBreakers(clock), clock=clock)
        self._limiter = limiter or Unlimited()
        self._watch = watch or Silence()
        self._reported = Reported(clock)
        self._gone: dict[Target, ModelGone] = {}
        """For as long as the process lives: a model that a provider has dropped does not come back."""
        self._refused: dict[Target, tuple[tuple[str | None, int | None], BadCredentials]] = {}
        """Until the route that named it is changed."""
        self._answered: set[Target] = set()
        """Since this process began, or since it was refused: nothing is left to be taken back of them."""

    async def admit(self, candidate: Candidate, plan: Plan, *, tokens: int) -> Permit:
        """The permit goes back with `record`.

        Errors: `CircuitOpen`, `RateLimited`, `ModelGone`, `BadCredentials`.
        """
        target = candidate.target
        self._require_in_use(target, plan)
        if seconds := self._reported.take(_key(target), tokens=tokens):
            raise RateLimited(f"{target} said that its limit is reached for {seconds:.1f} s", retry_after=seconds)
        permit = await self._pass_breaker(candidate)
        try:
            seconds = await self._limiter.take(plan.route, plan.rate_limit, target.provider)
        except BaseException:
            await self._breakers.record(permit, "neither")
            raise
        if seconds:
            await self._breakers.record(permit, "neither")
            raise RateLimited(f"our own limit for {target} is reached for {seconds:.1f} s", retry_after=seconds)
        return permit

    async def record(self, permit: Permit, plan: Plan, error: ProviderError | None) -> None:
        """How the attempt ended; `error` None: with an answer."""
        if error is None or isinstance(error, AnswerRefused):  # what we do not like is an answer all the same
            await self._breakers.record(permit, "success")
            await self._take_back(Target(*permit.key))
            return
        await self._breakers.record(permit, "failure" if error.trips else "neither", error=error.message)
        await self._take_out_of_use(Target(*permit.key), plan, error)

    async def withdraw(self, permit: Permit) -> None:
        """The attempt was cancelled, or never started."""
        await self._breakers.record(permit, "neither")

    def hear(self, target: Target, headers: Mapping[str, str]) -> None:
        """What the provider said of its limits with an answer."""
        self._reported.hear(_key(target), headers)

    def explain(self, target: Target, error: ProviderError) -> ProviderError:
        """A failure that opened the breaker is one that passes."""
        seconds = self._breakers.seconds_open(_key(target))
        if not error.trips or not seconds:
            return error
        opened = CircuitOpen(f"{target} keeps failing, most recently with: {error.message}", retry_after=seconds)
        opened.facts |= {name: value for name, value in error.facts.items() if name != "retry_after"}
        opened.__cause__ = error
        return opened

    def _require_in_use(self, target: Target, plan: Plan) -> None:
        if gone := self._gone.get(target):
            raise ModelGone(gone.message)
        config, refused = self._refused.get(target, (None, None))
        if refused and config == _config(plan):
            raise BadCredentials(
                f"{refused.message}; {target} is not asked again before the route or the key is changed"
            )

    async def _pass_breaker(self, candidate: Candidate) -> Permit:
        probe_seconds = candidate.limits.total_seconds + PROBE_SPARE_SECONDS
        try:
            return await self._breakers.admit(_key(candidate.target), probe_seconds=probe_seconds)
        except CallRefused as refused:
            raise CircuitOpen(
                f"{candidate.target} keeps failing and is left alone", retry_after=refused.seconds
            ) from None

    async def _take_back(self, target: Target) -> None:
        """Once: what an earlier process, or an earlier state of the configuration, reported is no longer true."""
        if target in self._answered or target in self._gone:
            return
        self._answered.add(target)
        self._refused.pop(target, None)
        await self._watch.take_back(_REPORTED, target)

    async def _take_out_of_use(self, target: Target, plan: Plan, error: ProviderError) -> None:
        if isinstance(error, RateLimited) and error.retry_after:
            self._reported.pause(_key(target), error.retry_after)
        elif isinstance(error, ModelGone):
            self._gone[target] = error
            await self._report(target, error)
        elif isinstance(error, BadCredentials):
            self._refused[target] = (_config(plan), error)
            await self._report(target, error)

    async def _report(self, target: Target, error: ProviderError) -> None:
        self._answered.discard(target)
        await self._watch.report(error.code, target, error.message)


def _key(target: Target) -> tuple[str, str]:
    return target.provider, target.model


def _config(plan: Plan) -> tuple[str | None, int | None]:
    return plan.route, plan.route_number
