"""Writes down one run as it goes: steps, checkpoints, files and notes, in order, each through the fenced writer."""

import asyncio
import contextlib
from collections import Counter, deque
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass
from typing import Any

import orjson
from langgraph.checkpoint.serde.types import ERROR, INTERRUPT

from shadowgraph.core import failpoints
from shadowgraph.core.calls import Place
from shadowgraph.core.clock import Clock
from shadowgraph.core.json import Json, JsonObject, sha256
from shadowgraph.core.paths import require_safe_path
from shadowgraph.core.places import Task
from shadowgraph.core.text import sanitise_text
from shadowgraph.engine.claim import Claim
from shadowgraph.engine.failures import describe_failure
from shadowgraph.engine.rows import (
    ArtifactRow,
    EventPruneRow,
    EventRow,
    PayloadRow,
    Row,
    StepEndRow,
    StepRow,
    StepStatus,
)
from shadowgraph.engine.values import summarise, to_json
from shadowgraph.engine.writer import Exit, Writer
from shadowgraph.queue.message import Wake
from shadowgraph.queue.port import Wakeups
from shadowgraph.runs import events as ev
from shadowgraph.runs.payloads import JSON_MEDIA_TYPE

MAX_ARTIFACT_BYTES = 20_000_000
MAX_MEDIA_TYPE_CHARACTERS = 200
TURNS_TO_GIVE = 24
"""Of the event loop, not of a clock: where one node follows another, its end and the checkpoint behind it become one write. Between a node's
last call and its checkpoint lie about ten turns."""
_LIBRARY_CHANNELS = ("__", "branch:")


StepId = tuple[int, str, str]
"""Superstep, node, path: what tells the steps of one run apart; the key of `steps` without run and attempt."""


@dataclass(frozen=True, slots=True)
class OpenStep:
    place: Place
    attempt: int


class RunRecorder:
    """One per claim. Its writes follow each other: event numbers and the fence depend on it."""

    def __init__(
        self,
        claim: Claim,
        writer: Writer,
        *,
        clock: Clock,
        wakeups: Wakeups,
        attempts: Counter[StepId],
        on_step_end: Callable[[str], None] = lambda _key: None,
    ) -> None:
        self.claim = claim
        self._writer = writer
        self._clock = clock
        self._wakeups = wakeups
        self._attempts = attempts
        """How many attempts each step has had, over all claims."""
        self._on_step_end = on_step_end
        self._open: dict[str, OpenStep] = {}
        self._deltas: dict[str, list[int]] = {}
        self._carried: deque[Row] = deque()
        self._lock = asyncio.Lock()
        self._under_way: set[asyncio.Task[None]] = set()
        self._checkpoint_id: str | None = None
        self.failed_node: str | None = None
        """The node whose error ends the run."""

    def go_on_from(self, attempts: Counter[StepId]) -> None:
        """Steps that earlier claims tried are counted on."""
        self._attempts.update(attempts)

    # --- plain writes -------------------------------------------------------------------------------------------------------

    async def write(self, rows: Sequence[Row], *, is_progress: bool = False) -> None:
        """Commits these rows together with what was carried.

        Once begun it is finished, even when its caller is cancelled meanwhile: what comes next has to know what stands in the database.
        """
        await asyncio.shield(self._begin(self._write(rows, is_progress=is_progress)))

    async def leave(self, exit_: Exit, rows: Sequence[Row] = ()) -> None:
        """Ends the claim. The way out is decided: a cancellation that comes now changes nothing and is forgotten."""
        leaving = self._begin(self._leave(exit_, rows))
        while not leaving.done():
            with contextlib.suppress(asyncio.CancelledError):
                await asyncio.wait([leaving])
        leaving.result()

    async def close(self) -> None:
        """The drive is over: what is still being written has no lease any more."""
        under_way = tuple(self._under_way)
        for task in under_way:
            task.cancel()
        await asyncio.gather(*under_way, return_exceptions=True)

    def _begin(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = asyncio.create_task(work)
        self._under_way.add(task)  # the event loop alone would not keep it
        task.add_done_callback(self._under_way.discard)
        return task

    async def _write(self, rows: Sequence[Row], *, is_progress: bool = False) -> None:
        async with self._lock:
            await self._commit(rows, is_progress=is_progress)
        await self._wake()

    async def _commit(self, rows: Sequence[Row], *, is_progress: bool = False) -> None:
        carried = self._take_carried()
        try:
            await self._writer.write(self.claim, [*carried, *rows], is_progress=is_progress)
        except Exception:
            self._carried.extendleft(reversed(carried))  # it goes with the next one
            raise

    async def _leave(self, exit_: Exit, rows: Sequence[Row]) -> None:
        async with self._lock:
            await self._writer.leave(self.claim, exit_, [*self._take_carried(), *rows])
        await self._wake()

    async def _wake(self) -> None:
        await self._wakeups.publish(Wake(run_id=self.claim.run_id, seq=self.claim.event_seq))

    async def write_carried(self) -> None:
        """Commits what was carried, unless another write has taken it along already: one that is a few turns of the event loop away does."""
        for _ in range(TURNS_TO_GIVE):
            if not self._carried:
                break
            await asyncio.sleep(0)
        async with self._lock:
            if not self._carried:
                return
            await self._commit([])
        await self._wake()

    def spawn(self, work: Coroutine[Any, Any, None]) -> None:
        """Runs beside the graph, until the claim is over."""
        self._begin(work)

    def carry(self, *rows: Row) -> None:
        """Keeps rows for the next write; safe from any thread."""
        self._carried.extend(rows)

    def _take_carried(self) -> list[Row]:
        return [self._carried.popleft() for _ in range(len(self._carried))]

    # --- steps --------------------------------------------------------------------------------------------------------------

    async def start_step(self, task: Task) -> None:
        """A node is about to run its first line."""
        key = step_id(task.place)
        failed = self._open.get(task.id)
        rows = self._end(failed, "failed", None) if failed else []
        self._attempts[key] += 1
        step = OpenStep(task.place, self._attempts[key])
        self._open[task.id] = step
        now = self._clock.now()
        started = StepRow(**_key(step), started_at=now, checkpoint_id=self._checkpoint_id)
        event = EventRow(ev.NewEvent(ev.STEP_STARTED, _facts(step)), now)
        await self.write([*rows, started, event])
        failpoints.hit("engine.step.started", task.place.node)

    def attempt_of(self, place: Place) -> int:
        """The attempt of this step that is under way."""
        return self._attempts[step_id(place)]

    async def write_pending(self, task_id: str, writes: Sequence[tuple[str, Any]], rows: Sequence[Row]) -> None:
        """A task has ended, one way or another: its writes and the end of its step are one transaction."""
        step = self._open.pop(task_id, None)
        node = step.place.node if step else ""
        failpoints.hit("engine.pending.before", node)
        status = _status_of(writes)
        if status == "failed":
            self.failed_node = node
        self.carry(*rows, *(self._end(step, status, writes) if step else []))
        await asyncio.shield(self._begin(self.write_carried()))
        if step:
            self._on_step_end(step.place.step_key)
        failpoints.hit("engine.pending.after", node)

    async def write_checkpoint(self, checkpoint_id: str, rows: Sequence[Row]) -> None:
        failpoints.hit("engine.checkpoint.before")
        self._checkpoint_id = checkpoint_id
        await self.write(rows, is_progress=True)
        failpoints.hit("engine.checkpoint.after")

    def _end(self, step: OpenStep, status: StepStatus, writes: Sequence[tuple[str, Any]] | None) -> list[Row]:
        now = self._clock.now()
        pruned = [EventPruneRow(seq) for seq in self._deltas.pop(step.place.step_key, [])]
        if status != "finished":
            error = _error_of(writes)
            kind = ev.STEP_FAILED if status == "failed" else ev.STEP_FINISHED
            facts = {**_facts(step), "status": status, **({"error": error} if error else {})}
            end = StepEndRow(**_key(step), status=status, finished_at=now, error=error)
            return [end, *pruned, EventRow(ev.NewEvent(kind, facts), now)]
        output = _output_of(writes or ())
        body = orjson.dumps(output)
        summary = summarise(output)
        end = StepEndRow(**_key(step), status=status, finished_at=now, output_ref=sha256(body), summary=summary)
        facts = {**_facts(step), "status": status, "summary": summary}
        return [_payload(body), end, *pruned, EventRow(ev.NewEvent(ev.STEP_FINISHED, facts), now)]

    # --- what nodes leave ---------------------------------------------------------------------------------------------------

    def add_artifact(self, path: str, body: bytes, *, media_type: str, node: str | None) -> None:
        """Errors: `UnsafePath`, `ValueError` for a body that is too large."""
        safe = require_safe_path(path)
        if len(body) > MAX_ARTIFACT_BYTES:
            raise ValueError(f"artifact {safe!r} has {len(body):,} bytes; {MAX_ARTIFACT_BYTES:,} are allowed")
        now = self._clock.now()
        media_type = sanitise_text(media_type, max_characters=MAX_MEDIA_TYPE_CHARACTERS)
        payload = _payload(body, media_type)
        facts: dict[str, Json] = {"path": safe, "size": len(body), "media_type": media_type, "node": node}
        self.carry(
            payload,
            ArtifactRow(safe, media_type, len(body), payload.sha256, node, now),
            EventRow(ev.NewEvent(ev.ARTIFACT_CREATED, facts), now),
        )

    def add_note(self, message: str, facts: JsonObject) -> None:
        told = {"message": to_json(message), **{sanitise_text(key): to_json(value) for key, value in facts.items()}}
        self.carry(EventRow(ev.NewEvent(ev.NOTE, told), self._clock.now()))

    async def write_delta(self, place: Place, payload: JsonObject) -> None:
        """A durable piece of live text; dropped again when the step's whole output is stored."""
        event = EventRow(ev.NewEvent(ev.OUTPUT_DELTA, payload), self._clock.now())
        await asyncio.shield(self._begin(self._write_delta(place, event)))

    async def _write_delta(self, place: Place, event: EventRow) -> None:
        async with self._lock:
            await self._commit([event])
            self._deltas.setdefault(place.step_key, []).append(self.claim.event_seq)
        await self._wake()


def _payload(body: bytes, media_type: str = JSON_MEDIA_TYPE) -> PayloadRow:
    return PayloadRow(sha256(body), media_type, len(body), body)


def step_id(place: Place) -> StepId:
    path = f"{place.namespace}/{place.path}" if place.namespace else place.path
    return place.superstep, place.node, path


def _key(step: OpenStep) -> dict[str, Any]:
    superstep, node, path = step_id(step.place)
    return {"superstep": superstep, "node": node, "path": path, "attempt": step.attempt}


def _facts(step: OpenStep) -> dict[str, Json]:
    return _key(step)


def _status_of(writes: Sequence[tuple[str, Any]]) -> StepStatus:
    found = dict(writes)
    if isinstance(found.get(ERROR), asyncio.CancelledError):
        return "cancelled"  # it did nothing wrong: its run was stopped, or a task beside it failed
    if ERROR in found:
        return "failed"
    return "interrupted" if INTERRUPT in found else "finished"


def _error_of(writes: Sequence[tuple[str, Any]] | None) -> JsonObject | None:
    error = next((value for channel, value in writes or () if channel == ERROR), None)
    return describe_failure(error) if isinstance(error, BaseException) else None


def _output_of(writes: Sequence[tuple[str, Any]]) -> dict[str, Json]:
    """What the node itself returned, without the library's own channels."""
    return {channel: to_json(value) for channel, value in writes if not channel.startswith(_LIBRARY_CHANNELS)}
