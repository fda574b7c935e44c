"""What goes wrong with an attempt, and how slow it is: a pure function of (seed, run, call, attempt), so that concurrency cannot change
it and two runs of one request differ."""

import random
from dataclasses import dataclass

from shadowgraph.llm.offline.calls import CallPlace
from shadowgraph.llm.offline.knobs import DEFAULT_FAILURE_STATUS, Failure, NodeKnobs


@dataclass(frozen=True, slots=True)
class Trouble:
    delay_seconds: float = 0.0
    """Before the first piece, or before the error."""
    failure: Failure | None = None
    cut_after: int | None = None
    """Pieces that are sent before the connection breaks."""


def decide_trouble(knobs: NodeKnobs, place: CallPlace) -> Trouble:
    draw = random.Random(f"{knobs.seed}/{place.run_id}/{place.call_key}/{place.attempt}")
    delay_ms = max(0.0, knobs.latency_ms + draw.uniform(-1, 1) * knobs.jitter_ms)
    is_troubled = _is_troubled(knobs, place, draw.random())
    failure, cut_after = _kind_of(knobs, draw.random()) if is_troubled else (None, None)
    return Trouble(delay_ms / 1000, failure, cut_after)


def noise_seed(knobs: NodeKnobs, place: CallPlace) -> str:
    """The same for every attempt of a call: a retry repeats the answer that was cut off."""
    return f"{knobs.seed}/{place.run_id}/{place.call_key}"


def _is_troubled(knobs: NodeKnobs, place: CallPlace, drawn: float) -> bool:
    if place.attempt <= knobs.fail_first or drawn < knobs.fail_rate:
        return True
    has_kind = knobs.fail is not None or knobs.cut_stream_after is not None
    is_limited = bool(knobs.fail_first or knobs.fail_rate)
    return has_kind and not is_limited


def _kind_of(knobs: NodeKnobs, drawn: float) -> tuple[Failure | None, int | None]:
    """With both kinds set each troubled attempt draws one of them."""
    if knobs.cut_stream_after is not None and (knobs.fail is None or drawn < 0.5):
        return None, knobs.cut_stream_after
    return knobs.fail or Failure(DEFAULT_FAILURE_STATUS), None
