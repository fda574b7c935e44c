"""Moves runs as a worker would, through the claim and the fenced writer, for tests that have no worker."""

from collections.abc import Mapping
from datetime import timedelta
from itertools import count
from typing import Any

from shadowgraph.core.ids import new_worker_id
from shadowgraph.core.json import sha256
from shadowgraph.db.engine import Database
from shadowgraph.engine import exits
from shadowgraph.engine.claim import Claim
from shadowgraph.engine.exits import Leaving
from shadowgraph.engine.interrupts import Question
from shadowgraph.engine.rows import (
    ArtifactRow,
    AttemptEndRow,
    AttemptRow,
    CallRow,
    EventRow,
    PayloadRow,
    Row,
    StepEndRow,
    StepRow,
)
from shadowgraph.engine.writer import Exit, Writer
from shadowgraph.queue.message import LiveText, Wake
from shadowgraph.queue.port import Wakeups
from shadowgraph.runs import events as ev
from shadowgraph.runs.claims import Claimant, claim_run
from shadowgraph.runs.states import Status
from tests.support.runs import CLOCK, LEASE_MS, NOWHERE

SECOND = timedelta(seconds=1)


class Moves:
    """What happens to runs from outside the API."""

    def __init__(self, database: Database, wakeups: Wakeups) -> None:
        self._database = database
        self._wakeups = wakeups
        self._calls = count()

    async def claim(self, run_id: str, workflow: str = "pipeline") -> Claim:
        claimant = Claimant(new_worker_id(), {workflow: "digest"}, LEASE_MS)
        async with self._database.write() as connection:
            run = await claim_run(connection, claimant, clock=CLOCK, run_id=run_id)
        assert run is not None, "the run could not be claimed"
        return Claim(run, NOWHERE, run.event_seq)

    async def write(self, claim: Claim, *rows: Row, wake: bool = True) -> None:
        await Writer(self._database).write(claim, rows)
        if wake:
            await self._wakeups.publish(Wake(run_id=claim.run_id, seq=claim.event_seq))

    async def note(self, claim: Claim, *messages: str, wake: bool = True) -> None:
        rows = [EventRow(ev.NewEvent(ev.NOTE, {"message": message}), CLOCK.now()) for message in messages]
        await self.write(claim, *rows, wake=wake)

    async def say(self, claim: Claim, text: str, *, offset: int = 0) -> None:
        """Live text, which is not stored."""
        live = LiveText(node="coder", superstep=1, attempt=1, call="0//coder/1//0", offset=offset, text=text)
        await self._wakeups.publish(Wake(run_id=claim.run_id, live=live))

    async def step(self, claim: Claim, node: str, *, superstep: int = 1, error: dict[str, Any] | None = None) -> None:
        began = CLOCK.now()
        await self.write(
            claim,
            StepRow(superstep, node, "", 1, began, None),
            StepEndRow(
                superstep, node, "", 1, "failed" if error else "finished", began + SECOND, None, f"{node} done", error
            ),
        )

    async def keep(self, claim: Claim, files: Mapping[str, bytes], media_type: str = "text/plain") -> None:
        for path, body in files.items():
            digest = sha256(body)
            await self.write(
                claim,
                PayloadRow(digest, media_type, len(body), body),
                ArtifactRow(path, media_type, len(body), digest, "coder", CLOCK.now()),
            )

    async def attempt(
        self,
        claim: Claim,
        *,
        provider: str = "offline",
        tokens: tuple[int, int] = (10, 5),
        cost_nano_usd: int | None = 0,
    ) -> None:
        key, request = f"0//coder/1//{next(self._calls)}", "0" * 64
        await self.write(
            claim,
            CallRow(key, request, "//coder/1/", "coder", CLOCK.now()),
            AttemptRow(key, request, 1, "coder", CLOCK.now(), provider, "demo", tokens[0]),
            AttemptEndRow(key, request, 1, "done", *tokens, 0, 0, "provider", cost_nano_usd, None, None, None, 1, 2),
        )

    async def complete(self, claim: Claim, output: Any = None, *, wake: bool = True) -> None:
        answer = {"answer": "done"} if output is None else output
        await self._leave(claim, exits.completed(answer, at=CLOCK.now()), wake=wake)

    async def fail(self, claim: Claim, error: dict[str, Any]) -> None:
        await self._leave(claim, exits.failed(error, at=CLOCK.now()))

    async def await_human(self, claim: Claim) -> None:
        event = ev.NewEvent("run.awaiting_human", {})
        await self._leave(claim, Leaving(Exit(Status.AWAITING_HUMAN, CLOCK.now(), events=[event])))

    async def pause(self, claim: Claim) -> None:
        await self._leave(claim, exits.paused(at=CLOCK.now()))

    async def ask(self, claim: Claim, *questions: Question) -> None:
        await self._leave(claim, exits.awaiting(questions, at=CLOCK.now()))

    async def _leave(self, claim: Claim, leaving: Leaving, *, wake: bool = True) -> None:
        await Writer(self._database).leave(claim, leaving.exit, leaving.rows)
        if wake:
            await self._wakeups.publish(Wake(run_id=claim.run_id, seq=claim.event_seq + 1))
