"""What follows when a target of a route could not answer. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass

from shadowgraph.core.calls import FallBack
from shadowgraph.llm.errors import ContextTooLong, ProviderError
from shadowgraph.llm.targets import Candidate


@dataclass(frozen=True, slots=True)
class Refusal:
    candidate: Candidate
    error: ProviderError | FallBack


def is_worth_asking(candidate: Candidate, refusals: Sequence[Refusal]) -> bool:
    """Not a model that is known to take no more text than one for which it was too much."""
    return not any(
        isinstance(refusal.error, ContextTooLong) and _takes_no_more(candidate, than=refusal.candidate)
        for refusal in refusals
    )


def _takes_no_more(candidate: Candidate, *, than: Candidate) -> bool:
    if candidate.context_tokens is None or than.context_tokens is None:
        return False
    return candidate.context_tokens <= than.context_tokens


def whom_to_ask_for_less(refusals: Sequence[Refusal]) -> Candidate | None:
    """The model that takes most of those for which the text was too much. None: nobody said so, or another one may take it later."""
    too_long = [refusal.candidate for refusal in refusals if isinstance(refusal.error, ContextTooLong)]
    if not too_long or any(error.retry_after is not None for error in _of_providers(refusals)):
        return None
    return max(too_long, key=lambda candidate: candidate.context_tokens or 0)


def conclude(refusals: Sequence[Refusal]) -> ProviderError | FallBack:
    """The error of a call that nobody answered: when somebody may answer later, the one that says when soonest; else the last one."""
    waits = [(error.retry_after, error) for error in _of_providers(refusals) if error.retry_after is not None]
    if waits:
        return min(waits, key=lambda wait: wait[0])[1]
    return next(reversed(_of_providers(refusals)), refusals[-1].error)


def _of_providers(refusals: Sequence[Refusal]) -> list[ProviderError]:
    return [refusal.error for refusal in refusals if isinstance(refusal.error, ProviderError)]
