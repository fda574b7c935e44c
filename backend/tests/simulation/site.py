"""A deployment in one thread: what each process does in one step, through the real code of `runs/` and of the engine's writer.

Two workers, a relay, a sweeper and people. A worker's graph is a script of small nodes (`world.SCRIPTS`); its claims, heartbeats, journal,
checkpoints and exits are the real ones. Between two steps of one process any other process may take any number of its own: a process that
takes none for a while is frozen, or cut off from the database.
"""

from collections import Counter
from collections.abc import Awaitable, Callable, Collection, Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import orjson
from sqlalchemy import select

from shadowgraph.core.calls import AttemptEnd, AttemptStart, CallId, Usage
from shadowgraph.core.errors import Conflict, NotFound
from shadowgraph.core.ids import WorkerId
from shadowgraph.core.json import digest
from shadowgraph.costs.prices import PriceBook
from shadowgraph.engine import exits
from shadowgraph.engine.claim import Claim, LeaseLost
from shadowgraph.engine.interrupts import Question
from shadowgraph.engine.journal import EngineLlmJournal, StepMemory
from shadowgraph.engine.recorder import RunRecorder
from shadowgraph.engine.rows import CheckpointRow
from shadowgraph.engine.writer import Writer
from shadowgraph.models.interactions import interactions
from shadowgraph.queue.inprocess import InProcessWakeups
from shadowgraph.queue.message import JobMessage
from shadowgraph.queue.port import JobHandler
from shadowgraph.runs.claims import Claimant, claim_run, extend_leases
from shadowgraph.runs.idempotency import IdempotencyKey
from shadowgraph.runs.interactions import answer_interaction, load_answers
from shadowgraph.runs.lifecycle import pause_run, resume_run, retry_run
from shadowgraph.runs.relay import Relay
from shadowgraph.runs.run import Run
from shadowgraph.runs.service import RunSpec, cancel_run, create_run
from shadowgraph.runs.sweeper import Sweeper, SweepSettings
from tests.simulation.action import Action
from tests.simulation.loop import VirtualTimeLoop
from tests.simulation.rules import hear, judge, remember
from tests.simulation.store import Accident, Died, Store, writing_for
from tests.simulation.witness import Transaction, take_changes
from tests.simulation.world import LEASE_MS, Drive, RunPlan, Scenario, World, twin_of

BEGINNING = datetime(2026, 1, 1, tzinfo=UTC)
OUTAGE_MS = 3 * LEASE_MS
WORKFLOW = "walk"
WORKERS = ("a", "b")


class Site:
    """`world` is the state that is not in the database."""

    def __init__(self, schema: bytes, scenario: Scenario) -> None:
        self.scenario = scenario
        self.transactions = 0
        self.last_statements = 0
        """How many the last step made."""
        self.told: Callable[[Transaction, World], None] | None = None
        """Hears of every transaction, for a trace."""
        self._loop = VirtualTimeLoop()
        self.store = Store(schema, now_ms=lambda: self.world.now_ms, on_commit=self._judge)
        self._writer = WatchedWriter(self.store)
        self._wakeups = InProcessWakeups()
        self._relay = Relay(self.store, _Broker(self), clock=self)
        self.world = self._begin()
        self._loop.run_until_complete(self._open())

    def _begin(self) -> World:
        now_ms = int(BEGINNING.timestamp() * 1000)
        self.world = World(now_ms, 0, None, now_ms, dict.fromkeys(WORKERS, ()))  # type: ignore[arg-type]  # its clock is the world
        return replace(self.world, sweeper=self._new_sweeper())

    async def _open(self) -> None:
        for plan in self.scenario.runs:
            await self._create(plan)

    def close(self) -> None:
        self._loop.run_until_complete(self.store.close())
        self._loop.close()

    # --- the clock that the real code asks for -------------------------------------------------------------------------------

    def now(self) -> datetime:
        return datetime.fromtimestamp(self.world.now_ms / 1000, UTC)

    def monotonic(self) -> float:
        return self.world.now_ms / 1000

    # --- steps --------------------------------------------------------------------------------------------------------------

    @contextmanager
    def undone(self) -> Iterator[None]:
        """What happens inside the block has not happened after it."""
        before = self.world
        with self.store.undone():
            yield
        self.world = before

    def act(self, action: Action) -> None:
        self._loop.run_until_complete(self._act(action))

    async def _act(self, action: Action) -> None:
        outer, self.store.accident = self.store.accident, self._accident_of(action)
        nobody = writing_for.set(None)
        try:
            await _VERBS[action.verb](self, action)
        except Died:
            self._bury(action)
        except (ConnectionError, Conflict, NotFound):
            pass  # whoever asked hears that it did not work, or nothing: the row tells
        except Exception as error:  # noqa: BLE001  whatever it is, nobody would catch it in a real process either
            self.world = self.world.violated(f"nothing_unexpected_is_raised: {error!r}")
        finally:
            self.last_statements = self.store.accident.statements
            self.store.accident = outer
            writing_for.reset(nobody)

    def _accident_of(self, action: Action) -> Accident:
        async def meanwhile() -> None:
            for other in action.meanwhile:
                await self._act(other)

        return Accident(
            dies_at=action.at if action.mark == "!" else None,
            cut_at=action.at if action.mark == "~" else None,
            loses_answer=action.mark == "?",
            meanwhile=meanwhile,
        )

    def _bury(self, action: Action) -> None:
        if action.who:
            self._restart(action.who)
        elif action.verb == "second":
            self.world = replace(self.world, sweeper=self._new_sweeper(), sweeper_since_ms=self.world.now_ms)

    def _judge(self, claim: Claim | None) -> None:
        self.transactions += 1
        world = self.world
        changes = take_changes(self.store.raw)
        transaction = Transaction(claim, changes, world.contact_ms, world.patience_ms)
        for found in judge(world.memory, transaction):
            world = world.violated(found)
        self.world = replace(world, memory=remember(world.memory, transaction))
        if self.told:
            self.told(transaction, self.world)

    # --- time ---------------------------------------------------------------------------------------------------------------

    async def _second(self, _action: Action) -> None:
        """A second passes, and the sweeper looks around."""
        self._pass(1000, with_database=True)
        sweeper = twin_of(self.world.sweeper)
        self.world = replace(self.world, sweeper=sweeper)
        try:
            await sweeper.sweep_once()
        except ConnectionError:
            sweeper._grace.lose_contact()  # as its loop does

    async def _outage(self, _action: Action) -> None:
        """Nobody reaches the database for several leases."""
        self._pass(OUTAGE_MS, with_database=False)

    async def _sweeper(self, _action: Action) -> None:
        """Its process starts anew."""
        self.world = replace(self.world, sweeper=self._new_sweeper(), sweeper_since_ms=self.world.now_ms)

    def _new_sweeper(self) -> Sweeper:
        return Sweeper(self.store, SweepSettings(lease_seconds=LEASE_MS / 1000), clock=self)

    def _pass(self, ms: int, *, with_database: bool) -> None:
        contact_ms = self.world.contact_ms + (ms if with_database else 0)
        self.world = replace(self.world, now_ms=self.world.now_ms + ms, contact_ms=contact_ms)

    # --- messages -----------------------------------------------------------------------------------------------------------

    async def _publish(self, _action: Action) -> None:
        await self._relay.relay_once()

    async def _lose(self, action: Action) -> None:
        self._drop_message(action.run)

    async def _double(self, action: Action) -> None:
        if (run_id := self.world.id_of(action.run)) in self.world.messages:
            self.world = replace(self.world, messages=(*self.world.messages, str(run_id)))

    async def _receive(self, action: Action) -> None:
        """The message is acknowledged when its handler has returned, and comes again when the worker died before."""
        if self.world.id_of(action.run) not in self.world.messages:
            return
        with suppress(ConnectionError):
            await self._claim(action.who, self.world.id_of(action.run))
        self._drop_message(action.run)

    def _drop_message(self, name: str) -> None:
        messages = list(self.world.messages)
        if (run_id := self.world.id_of(name)) in messages:
            messages.remove(str(run_id))
        self.world = replace(self.world, messages=tuple(messages))

    # --- workers ------------------------------------------------------------------------------------------------------------

    async def _poll(self, action: Action) -> None:
        await self._claim(action.who, None)

    async def _claim(self, who: str, run_id: str | None) -> None:
        if len(self.world.drives[who]) >= self.scenario.slots:
            return
        async with self.store.write() as connection:
            run = await claim_run(connection, self._claimant(who), clock=self, run_id=run_id)
        if run is not None:
            drive = self._find_start(run)
            self.world = self.world.with_drives(who, iter((*self.world.drives[who], drive)))

    def _claimant(self, who: str) -> Claimant:
        return Claimant(WorkerId(who), {WORKFLOW: "digest"}, LEASE_MS)

    def _find_start(self, run: Run) -> Drive:
        query = "SELECT checkpoint_id FROM checkpoints WHERE thread_id = ? ORDER BY checkpoint_id"
        found = [checkpoint_id for (checkpoint_id,) in self.store.raw.execute(query, (run.checkpoint_thread,))]
        told = "cancel" if run.control == "cancel" else None
        return Drive(run, run.event_seq, len(found), found[-1] if found else None, told=told)

    async def _beat(self, action: Action) -> None:
        held = [(drive.run.id, drive.run.lease_token) for drive in self.world.drives[action.who]]
        async with self.store.write() as connection:
            answer = await connection.run_sync(lambda sync: extend_leases(sync, WorkerId(action.who), held, LEASE_MS))
        controls = {item.run_id: item.control for item in answer}
        memory = self.world.memory
        for run_id in controls:
            memory = hear(memory, run_id, at_ms=self.world.contact_ms)
        self.world = replace(self.world, memory=memory)
        kept = (
            replace(drive, told=controls[drive.run.id] or drive.told)
            for drive in self.world.drives[action.who]
            if drive.run.id in controls
        )
        self.world = self.world.with_drives(action.who, kept)

    async def _die(self, action: Action) -> None:
        self._restart(action.who)

    def _restart(self, who: str) -> None:
        self.world = self.world.with_drives(who, iter(()))

    async def _hand_back(self, action: Action) -> None:
        """SIGTERM: nothing is finished, everything is handed back."""
        for drive in self.world.drives[action.who]:
            await self._drive_on(
                action.who, drive, lambda recorder, _drive: _leave(recorder, exits.handed_back(at=self.now()))
            )

    async def _step(self, action: Action) -> None:
        """As far as the next commit."""
        drive = self.world.find_drive(action.who, self.world.id_of(action.run))
        if drive is not None:
            await self._drive_on(action.who, drive, self._go_on)

    async def _drive_on(self, who: str, drive: Drive, go_on: "GoOn") -> None:
        claim = Claim(drive.run, Path(), drive.event_seq)
        recorder = RunRecorder(claim, self._writer, clock=self, wakeups=self._wakeups, attempts=Counter())
        try:
            after = await go_on(recorder, drive)
        except LeaseLost:
            after = None
        self._put(who, drive, after, claim.event_seq)

    def _put(self, who: str, drive: Drive, after: Drive | None, event_seq: int) -> None:
        """Its heartbeat may have spoken meanwhile."""

        def updated() -> Iterator[Drive]:
            for found in self.world.drives[who]:
                if found.run.id != drive.run.id or found.run.lease_token != drive.run.lease_token:
                    yield found
                elif after is not None:
                    yield replace(after, told=found.told, event_seq=event_seq)

        self.world = self.world.with_drives(who, updated())

    async def _go_on(self, recorder: RunRecorder, drive: Drive) -> Drive | None:
        """What the engine's driver does with the same objects; None when the run is left."""
        script = self._script_of(drive)
        if drive.told == "cancel":
            return await _leave(recorder, exits.cancelled(at=self.now()))
        if drive.node >= len(script):
            return await _leave(recorder, exits.completed({"nodes": drive.node}, at=self.now()))
        if drive.told == "pause" and drive.stage == "begins":
            return await _leave(recorder, exits.paused(at=self.now()))
        if drive.stage == "answered":
            return await self._leave_checkpoint(recorder, drive)
        return await self._run_node(recorder, drive, script[drive.node])

    async def _run_node(self, recorder: RunRecorder, drive: Drive, kind: str) -> Drive | None:
        is_first_try = drive.run.claims == 1
        if kind in "cC":
            return await (self._ask_model if drive.stage == "begins" else self._hear_model)(recorder, drive)
        if kind == "x" and is_first_try:
            error = {"code": "node_failed", "message": "this node failed", "kind": "permanent", "retryable": True}
            return await _leave(recorder, exits.failed(error, at=self.now()))
        if kind == "p" and is_first_try:
            return await _leave(recorder, exits.parked("busy", delay_ms=1500, message="come back later", at=self.now()))
        if kind in "qd" and not await self._is_answered(drive):
            return await _leave(recorder, exits.awaiting([self._question(drive, kind)], at=self.now()))
        return await self._leave_checkpoint(recorder, drive)

    async def _ask_model(self, recorder: RunRecorder, drive: Drive) -> Drive:
        journal, call = self._journal(recorder), self._call(drive)
        recorded = await journal.find(call)
        if recorded and recorded.answer is not None:
            self._use(drive, call, recorded.answer)
            return replace(drive, stage="answered")
        attempt = (recorded.attempts if recorded else 0) + 1
        started = AttemptStart(n=attempt, provider="p", model="m", at=self.now(), estimated_prompt_tokens=1)
        await journal.start(call, agent="n", attempt=started)
        if self.world.memory.runs[drive.run.id].has_paid_for(call.key, call.request_hash):
            self._complain(drive, f"nothing_is_paid_twice: {call.key} {call.request_hash}")
        return replace(drive, stage="asked", attempt=attempt)

    async def _hear_model(self, recorder: RunRecorder, drive: Drive) -> Drive:
        call = self._call(drive)
        answer = _answer_to(call)
        ended = AttemptEnd(n=drive.attempt, at=self.now(), usage=Usage(1, 2))
        await self._journal(recorder).finish(call, agent="n", ended=ended, answer=answer)
        self._use(drive, call, answer)
        return replace(drive, stage="answered")

    def _use(self, drive: Drive, call: CallId, answer: bytes) -> None:
        if answer != _answer_to(call):
            self._complain(drive, f"answers_belong_to_their_question: {call.request_hash} got {answer!r}")
        if not self.world.memory.runs[drive.run.id].has_paid_for(call.key, call.request_hash):
            self._complain(drive, f"nothing_is_used_before_it_is_recorded: {call.key}")

    def _complain(self, drive: Drive, what: str) -> None:
        self.world = self.world.violated(f"{what} of {self.world.name_of(drive.run.id)}")

    def _journal(self, recorder: RunRecorder) -> EngineLlmJournal:
        return EngineLlmJournal(recorder, self.store, StepMemory(), clock=self, prices=PriceBook())

    def _call(self, drive: Drive) -> CallId:
        changes = self._script_of(drive)[drive.node] == "C"
        return CallId(f"{drive.run.generation}/{drive.node}", f"q{drive.run.claims if changes else ''}")

    async def _is_answered(self, drive: Drive) -> bool:
        async with self.store.read() as connection:
            return _interrupt_id(drive) in await load_answers(connection, drive.run.id)

    def _question(self, drive: Drive, kind: str) -> Question:
        default, seconds = ({"value": "yes"}, 1.0) if kind == "d" else (None, 3600.0)
        return Question(_interrupt_id(drive), "go on?", None, default, seconds)

    async def _leave_checkpoint(self, recorder: RunRecorder, drive: Drive) -> Drive:
        checkpoint_id = f"{drive.node:02}-{drive.run.lease_token}"
        thread = drive.run.checkpoint_thread
        row = CheckpointRow(thread, "", checkpoint_id, drive.checkpoint_id, "json", b"{}", b"{}")
        await recorder.write_checkpoint(checkpoint_id, [row])
        return replace(drive, node=drive.node + 1, checkpoint_id=checkpoint_id, stage="begins")

    def _script_of(self, drive: Drive) -> str:
        return drive.run.input_preview.split()[1]

    # --- people -------------------------------------------------------------------------------------------------------------

    async def _post(self, action: Action) -> None:
        await self._create(self.scenario.late)

    async def _create(self, plan: RunPlan) -> None:
        value = {"text": plan.name, "script": plan.script}
        spec = RunSpec(
            workflow=WORKFLOW,
            input=value,
            thread_id=plan.thread_id,
            on_busy="enqueue",
            timeout_seconds=plan.timeout_seconds,
            idempotency=IdempotencyKey(plan.name, digest(value)),
        )
        async with self.store.write() as connection:
            await create_run(connection, "sqlite", spec, clock=self)

    async def _ask_for(self, action: Action) -> None:
        run_id = self.world.id_of(action.run)
        if run_id is None:
            return
        async with self.store.write() as connection:
            if action.verb == "cancel":
                await cancel_run(connection, run_id, clock=self)
            elif action.verb == "answer":
                await self._answer(connection, run_id)
            else:
                verb = {"pause": pause_run, "resume": resume_run, "retry": retry_run}[action.verb]
                await verb(connection, run_id, who="somebody", clock=self)

    async def _answer(self, connection: Any, run_id: str) -> None:
        """The last question, whether it is still open or not: no two answers are alike."""
        c = interactions.c
        asked = (await connection.scalars(select(c.id).where(c.run_id == run_id).order_by(c.created_at))).all()
        if asked:
            value = f"answer {self.transactions}"
            await answer_interaction(connection, run_id, asked[-1], value, who="somebody", clock=self)


GoOn = Callable[[RunRecorder, Drive], Awaitable[Drive | None]]

_VERBS: dict[str, Callable[[Site, Action], Awaitable[None]]] = {
    "second": Site._second,
    "outage": Site._outage,
    "sweeper": Site._sweeper,
    "relay": Site._publish,
    "lose": Site._lose,
    "double": Site._double,
    "take": Site._receive,
    "poll": Site._poll,
    "beat": Site._beat,
    "step": Site._step,
    "die": Site._die,
    "leave": Site._hand_back,
    "post": Site._post,
    **dict.fromkeys(("cancel", "pause", "resume", "retry", "answer"), Site._ask_for),
}


class _Broker:
    """`queue.port.JobQueue`, as far as a relay needs one: the site hands out the messages step by step."""

    def __init__(self, site: Site) -> None:
        self._site = site

    async def publish(self, message: JobMessage, *, message_id: str, pool: str | None) -> None:
        site = self._site
        site.world = replace(site.world, messages=(*site.world.messages, message.id))

    async def consume(self, handler: JobHandler, *, pools: Collection[str]) -> None:
        raise NotImplementedError

    async def check(self) -> None:
        raise NotImplementedError

    async def close(self) -> None:
        raise NotImplementedError


class WatchedWriter(Writer):
    """Says for whom it writes, so that the rules can tell whether that was right."""

    async def write(self, claim: Claim, rows: Any, *, is_progress: bool = False) -> None:
        with _on_behalf_of(claim):
            await super().write(claim, rows, is_progress=is_progress)

    async def leave(self, claim: Claim, exit_: Any, rows: Any = ()) -> None:
        with _on_behalf_of(claim):
            await super().leave(claim, exit_, rows)


@contextmanager
def _on_behalf_of(claim: Claim) -> Iterator[None]:
    token = writing_for.set(claim)
    try:
        yield
    finally:
        writing_for.reset(token)


async def _leave(recorder: RunRecorder, leaving: exits.Leaving) -> Drive | None:
    """Nothing is left to be driven."""
    await recorder.leave(leaving.exit, leaving.rows)
    return None


def _answer_to(call: CallId) -> bytes:
    return orjson.dumps(f"answer to {call.request_hash}")


def _interrupt_id(drive: Drive) -> str:
    return f"{drive.run.id}/{drive.node}"
