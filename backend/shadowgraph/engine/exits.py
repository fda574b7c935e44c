"""The ways out of RUNNING, each with its rows."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

import orjson

from shadowgraph.core.ids import new_interaction_id
from shadowgraph.core.json import Json, sha256
from shadowgraph.core.sizes import MAX_OUTPUT_BYTES
from shadowgraph.core.text import sanitise_text
from shadowgraph.engine.interrupts import Question
from shadowgraph.engine.rows import InteractionRow, PayloadRow, Row
from shadowgraph.engine.values import last_message_text
from shadowgraph.engine.writer import Exit
from shadowgraph.runs import events as ev
from shadowgraph.runs.payloads import JSON_MEDIA_TYPE
from shadowgraph.runs.service import preview_of
from shadowgraph.runs.states import Status


@dataclass(frozen=True, slots=True)
class Leaving:
    exit: Exit
    rows: list[Row] = field(default_factory=list)


def completed(output: Json, *, at: datetime, max_bytes: int = MAX_OUTPUT_BYTES) -> Leaving:
    """`output`: the graph's output state; one that has `messages` also gives its last message as text."""
    text = last_message_text(output)
    body = orjson.dumps({"output": output, **({} if text is None else {"text": text})})
    if len(body) > max_bytes:
        return failed(_too_large(len(body), max_bytes), at=at)
    payload = PayloadRow(sha256(body), JSON_MEDIA_TYPE, len(body), body)
    searchable = preview_of(output) if isinstance(output, Mapping) else str(output)
    finished = ev.NewEvent(ev.RUN_FINISHED, {"status": Status.COMPLETED})
    exit_ = Exit(Status.COMPLETED, at, events=[finished], result_ref=payload.sha256, text=searchable)
    return Leaving(exit_, [payload])


def _too_large(size: int, max_bytes: int) -> dict[str, Any]:
    return {
        "code": "result_too_large",
        "message": f"the graph's output has {size:,} bytes; {max_bytes:,} are allowed",
        "hint": "keep large values as artifacts",
        "kind": "permanent",
        "retryable": False,
    }


def failed(error: dict[str, Any], *, at: datetime) -> Leaving:
    finished = ev.NewEvent(ev.RUN_FINISHED, {"status": Status.FAILED, "error": error})
    text = sanitise_text(f"{error.get('code')} {error.get('message')}")
    return Leaving(Exit(Status.FAILED, at, events=[finished], reason=error.get("code"), error=error, text=text))


def cancelled(*, at: datetime) -> Leaving:
    finished = ev.NewEvent(ev.RUN_FINISHED, {"status": Status.CANCELLED})
    return Leaving(Exit(Status.CANCELLED, at, events=[finished]))


def handed_back(*, at: datetime) -> Leaving:
    """The worker shuts down: somebody else goes on from the last checkpoint."""
    event = ev.NewEvent(ev.RUN_QUEUED, {"why": "handoff"})
    return Leaving(Exit(Status.QUEUED, at, events=[event], reason="handoff", why="handoff"))


def paused(*, at: datetime) -> Leaving:
    """At a node boundary, because somebody asked."""
    return Leaving(Exit(Status.PAUSED, at, events=[ev.NewEvent(ev.RUN_PAUSED)]))


def awaiting(questions: Sequence[Question], *, at: datetime) -> Leaving:
    """The graph asks a person; no worker is held meanwhile."""
    rows: list[Row] = [_interaction(question, at=at) for question in questions]
    asked = [ev.NewEvent(ev.INTERACTION_CREATED, {"question": question.value}) for question in questions]
    waiting = ev.NewEvent(ev.RUN_AWAITING_HUMAN, {"questions": len(questions)})
    ids = [question.interrupt_id for question in questions]
    return Leaving(Exit(Status.AWAITING_HUMAN, at, events=[*asked, waiting], waits_for=ids), rows)


def _interaction(question: Question, *, at: datetime) -> InteractionRow:
    return InteractionRow(
        id=new_interaction_id(),
        interrupt_id=question.interrupt_id,
        node=question.node,
        question={"value": question.value},
        schema=question.schema,
        default=question.default,
        wait_ms=int(question.deadline_seconds * 1000),
        created_at=at,
    )


def budget_exceeded(error: dict[str, Any], *, at: datetime) -> Leaving:
    """No worker is held until somebody raises the limit and resumes the run."""
    event = ev.NewEvent(ev.RUN_BUDGET_EXCEEDED, error)
    return Leaving(Exit(Status.BUDGET_EXCEEDED, at, events=[event], reason="budget", error=error))


def parked(reason: str, *, delay_ms: int, message: str, at: datetime) -> Leaving:
    """Nothing is wrong with the run, but it cannot go on now; the slot is freed meanwhile."""
    until = (at + timedelta(milliseconds=delay_ms)).isoformat()
    event = ev.NewEvent(
        ev.RUN_PARKED, {"reason": reason, "delay_ms": delay_ms, "until": until, "message": sanitise_text(message)}
    )
    return Leaving(Exit(Status.QUEUED, at, events=[event], reason=reason, delay_ms=delay_ms, why=reason))
