"""F33, and what else holds when the writes of many runs go in one transaction."""

import asyncio
import random
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

import pytest
from sqlalchemy import func, select, text, update

from shadowgraph.core import failpoints
from shadowgraph.core.json import sha256
from shadowgraph.db.engine import Database
from shadowgraph.engine.claim import Claim, LeaseLost
from shadowgraph.engine.rows import (
    ArtifactRow,
    AttemptEndRow,
    AttemptRow,
    BlobRow,
    CallEndRow,
    CallRow,
    CheckpointRow,
    EventPruneRow,
    EventRow,
    InteractionRow,
    PayloadRow,
    PendingRow,
    Row,
    SpecialWriteRow,
    StepEndRow,
    StepRow,
    StepStatus,
    ToolEndRow,
    ToolRow,
)
from shadowgraph.engine.statements import ORDER, batch_statement
from shadowgraph.engine.writer import StateNotStorable, Writer
from shadowgraph.models.events import events
from shadowgraph.models.runs import runs
from shadowgraph.runs.events import NewEvent
from tests.support.runs import NOWHERE, claim, start_run

AT = datetime(2026, 1, 2, 3, 4, 5, 678901, tzinfo=UTC)
POISONS: dict[str, Row] = {
    "NUL": StepRow(1, "a\x00b", "p", 1, AT, None),
    "lone surrogate": StepRow(1, "\ud800", "p", 1, AT, None),
    "number out of range": ArtifactRow("a", "text/plain", 2**70, "0" * 64, None, AT),
    "NUL in JSON": EventRow(NewEvent("note", {"message": "\x00"}), AT),
    "NaN": EventRow(NewEvent("note", {"message": float("nan")}), AT),
    "missing": StepRow(1, None, "p", 1, AT, None),  # type: ignore[arg-type]
}
TABLES = (
    "events", "steps", "llm_calls", "llm_attempts", "tool_calls", "artifacts", "interactions", "checkpoints", "checkpoint_blobs",
    "checkpoint_writes",
)  # fmt: skip


@pytest.fixture
async def database(postgresql_url: str) -> AsyncIterator[Database]:
    """Only PostgreSQL has batches."""
    connections = Database(postgresql_url)
    yield connections
    await connections.close()


def note(message: str) -> EventRow:
    return EventRow(NewEvent("note", {"message": message}), AT)


async def claimed(database: Database) -> Claim:
    await start_run(database)
    run = await claim(database)
    return Claim(run, NOWHERE, run.event_seq)


@contextmanager
def transactions_counted() -> Iterator[list[None]]:
    counted: list[None] = []
    failpoints._switched["engine.writer.before_commit"] = lambda: counted.append(None)
    yield counted
    failpoints.switch_all_off()


@pytest.mark.parametrize("poison", POISONS.values(), ids=POISONS)
async def test_f33_a_poisoned_row_and_a_lost_lease_in_a_batch_fail_alone(database: Database, poison: Row) -> None:
    claims = [await claimed(database) for _ in range(16)]
    async with database.write() as connection:
        lost = claims[3]
        await connection.execute(update(runs).where(runs.c.id == lost.run_id).values(lease_token=lost.token + 1))
    writer = Writer(database)

    outcomes = await asyncio.gather(
        *(writer.write(item, [note("hello"), *([poison] if n == 7 else [])]) for n, item in enumerate(claims)),
        return_exceptions=True,
    )

    assert {n: type(found) for n, found in enumerate(outcomes) if found is not None} == {
        3: LeaseLost,
        7: StateNotStorable,
    }
    async with database.read() as connection:
        stored = (await connection.execute(select(events.c.run_id, events.c.seq).where(events.c.type == "note"))).all()
    assert sorted(stored) == sorted((item.run_id, 3) for n, item in enumerate(claims) if n not in (3, 7))


async def test_a_lost_lease_in_a_batch_costs_its_neighbours_no_second_transaction(database: Database) -> None:
    claims = [await claimed(database) for _ in range(8)]
    async with database.write() as connection:
        await connection.execute(update(runs).where(runs.c.id == claims[3].run_id).values(lease_token=99))
    writer = Writer(database)

    with transactions_counted() as transactions:
        await asyncio.gather(*(writer.write(item, [note("x")]) for item in claims), return_exceptions=True)

    assert len(transactions) == 1


async def test_what_waits_goes_along_in_the_next_transaction_and_at_most_so_many(database: Database) -> None:
    claims = [await claimed(database) for _ in range(12)]
    writer = Writer(database, most_at_once=5)

    with transactions_counted() as transactions:
        await asyncio.gather(*(writer.write(item, [note("x")]) for item in claims))

    assert len(transactions) == 3
    assert {item.event_seq for item in claims} == {3}


async def test_writes_of_one_run_follow_each_other(database: Database) -> None:
    mine, other = await claimed(database), await claimed(database)
    writer = Writer(database)

    await asyncio.gather(*(writer.write(item, [note(f"{n}")]) for n in range(3) for item in (mine, other)))

    async with database.read() as connection:
        of_mine = select(events.c.payload).where(events.c.run_id == mine.run_id, events.c.type == "note")
        stored = (await connection.scalars(of_mine.order_by(events.c.seq))).all()
    assert [item["message"] for item in stored] == ["0", "1", "2"]


async def test_a_batch_whose_answer_was_lost_is_made_once_for_each_run(database: Database) -> None:
    claims = [await claimed(database) for _ in range(5)]
    writer = Writer(database)

    def lose_the_answer() -> None:
        raise ConnectionResetError("the connection went away after COMMIT was sent")

    failpoints.switch_on("db.committed", lose_the_answer)
    await asyncio.gather(*(writer.write(item, [note("once")]) for item in claims))

    async with database.read() as connection:
        assert await connection.scalar(select(func.count()).where(events.c.type == "note")) == 5
    assert {item.event_seq for item in claims} == {3}


async def test_a_batch_whose_connection_was_cut_before_the_commit_is_made_again(database: Database) -> None:
    claims = [await claimed(database) for _ in range(5)]
    writer = Writer(database)

    def cut() -> None:
        raise ConnectionResetError("the connection went away")

    failpoints.switch_on("engine.writer.before_commit", cut)
    await asyncio.gather(*(writer.write(item, [note("once")]) for item in claims))

    async with database.read() as connection:
        assert await connection.scalar(select(func.count()).where(events.c.type == "note")) == 5


async def test_a_run_whose_row_somebody_holds_does_not_hold_up_the_others(database: Database) -> None:
    held, *others = [await claimed(database) for _ in range(4)]
    writer = Writer(database)

    async with database.write() as somebody:
        await somebody.execute(select(runs.c.id).where(runs.c.id == held.run_id).with_for_update())
        waiting = asyncio.create_task(writer.write(held, [note("late")]))
        await asyncio.gather(*(writer.write(item, [note("in time")]) for item in others))
        assert not waiting.done()
    await waiting

    assert held.event_seq == 3


async def test_a_write_that_is_cancelled_before_it_is_taken_along_is_never_made(database: Database) -> None:
    first, second = await claimed(database), await claimed(database)
    writer = Writer(database, most_at_once=2)

    under_way = asyncio.create_task(writer.write(first, [note("first")]))
    waiting = asyncio.create_task(writer.write(second, [note("second")]))
    waiting_too = asyncio.create_task(writer.write(second, [note("cancelled")]))
    await asyncio.sleep(0)
    waiting_too.cancel()
    await asyncio.gather(under_way, waiting, waiting_too, return_exceptions=True)

    assert waiting_too.cancelled()
    async with database.read() as connection:
        stored = (await connection.scalars(select(events.c.payload).where(events.c.type == "note"))).all()
    assert sorted(item["message"] for item in stored) == ["first", "second"]


# --- a batch equals the same writes one by one -------------------------------------------------------------------------------------


class Script:
    """The writes that a run makes one after the other, the same for every run that is given the same seed."""

    def __init__(self, seed: int, thread: str) -> None:
        self._rng = random.Random(seed)
        self._thread = thread

    def writes(self) -> list[list[Row]]:
        return [self._write() for _ in range(self._rng.randint(2, 5))]

    def _write(self) -> list[Row]:
        rng = self._rng
        makers = (
            self._step, self._call, self._attempt, self._tool, self._artifact, self._payload, self._question, self._pending,
            self._checkpoint, self._prune, self._note,
        )  # fmt: skip
        return [row for _ in range(rng.randint(0, 6)) for row in rng.choice(makers)()]

    def _pick(self, *rows: Row) -> list[Row]:
        """One of them, or all in order, or the last one before the first."""
        return self._rng.choice([list(rows[:1]), list(rows[-1:]), list(rows), list(reversed(rows))])

    def _n(self) -> int:
        return self._rng.randint(1, 3)

    def _step(self) -> list[Row]:
        n = self._n()
        end: StepStatus = "finished" if self._rng.random() < 0.5 else "failed"
        key: dict[str, Any] = {"superstep": n, "node": f"node {n}", "path": "p", "attempt": 1}
        facts = {"message": f"ü {n}"} if end == "failed" else None
        return self._pick(
            StepRow(**key, started_at=AT, checkpoint_id=None),
            StepEndRow(**key, status=end, finished_at=AT, summary="done", error=facts),
        )

    def _call(self) -> list[Row]:
        n = self._n()
        return self._pick(
            CallRow(f"call {n}", "h", "step", "agent", AT), CallEndRow(f"call {n}", "h", "done", f"ref {self._n()}", AT)
        )

    def _attempt(self) -> list[Row]:
        n, tokens = self._n(), self._rng.randint(0, 2**31 - 1)
        end = AttemptEndRow(
            "call", "h", n, "done", tokens, None, 0, 0, "provider", 2**40, "list", {"prompt": "0.1"}, None, 3, 4
        )
        return self._pick(AttemptRow("call", "h", n, "agent", AT, "groq", "m", 7, gated=n == 1), end)

    def _tool(self) -> list[Row]:
        n = self._n()
        start = ToolRow(f"tool {n}", "h", "s", "search", "d", "read", "agent", "ref", AT, doubts=self._n())
        return self._pick(start, ToolEndRow(f"tool {n}", "h", "failed", None, "no luck", AT))

    def _artifact(self) -> list[Row]:
        return [ArtifactRow(f"{self._n()}.txt", "text/plain", self._rng.randint(0, 2**40), "0" * 64, None, AT)]

    def _payload(self) -> list[Row]:
        body = f"shared by all {self._n()}".encode()
        return [PayloadRow(sha256(body), "text/plain", len(body), body)]

    def _question(self) -> list[Row]:
        n = self._n()
        return [InteractionRow(f"{self._thread} {n}", f"i {n}", None, {"value": n}, None, {"value": [1]}, 5_000, AT)]

    def _pending(self) -> list[Row]:
        kind = self._rng.choice([PendingRow, SpecialWriteRow])
        return [kind(self._thread, "", "c", "t", "p", self._n(), f"channel {self._n()}", "msgpack", b"\x00\xff")]

    def _checkpoint(self) -> list[Row]:
        n = self._n()
        blob = BlobRow(self._thread, "", f"channel {n}", f"{self._n()}", "msgpack", self._rng.choice([None, b"", b"x"]))
        return [blob, CheckpointRow(self._thread, "", f"c{n}", None, None, {"v": self._n(), "text": '"\\ é'}, {"n": n})]

    def _prune(self) -> list[Row]:
        return [EventPruneRow(self._n())]

    def _note(self) -> list[Row]:
        return [note(f"{self._n()}")]


@pytest.mark.parametrize("seed", range(8))
async def test_a_batch_leaves_what_the_same_writes_leave_one_by_one(database: Database, seed: int) -> None:
    together = [await claimed(database) for _ in range(6)]
    one_by_one = [await claimed(database) for _ in range(6)]
    batching, plain = Writer(database), Writer(database, most_at_once=1)

    async def play(writer: Writer, mine: Claim, n: int) -> None:
        for rows in Script(seed * 100 + n, mine.run_id).writes():
            await writer.write(mine, rows, is_progress=bool(len(rows) % 2))

    await asyncio.gather(*(play(batching, mine, n) for n, mine in enumerate(together)))
    for n, mine in enumerate(one_by_one):
        await play(plain, mine, n)

    assert [mine.event_seq for mine in together] == [mine.event_seq for mine in one_by_one]
    for left, right in zip(together, one_by_one, strict=True):
        assert await everything_of(database, left) == await everything_of(database, right)


async def everything_of(database: Database, mine: Claim) -> dict[str, Sequence[Any]]:
    """Without what differs between two runs anyway."""
    found: dict[str, Sequence[Any]] = {}
    async with database.read() as connection:
        for table in TABLES:
            key = "thread_id" if table.startswith("checkpoint") else "run_id"
            rows = await connection.execute(
                text(
                    f"SELECT to_jsonb(t) - '{{id,txid,run_id,thread_id,deadline_at}}'::text[] FROM {table} t WHERE {key} = :id"
                ),
                {"id": mine.run_id},
            )
            kept = [row[0] for row in rows if row[0].get("type") not in ("run.queued", "run.started")]
            found[table] = sorted(kept, key=repr)
    return found


# --- plans ---------------------------------------------------------------------------------------------------------------------------


async def test_every_plan_goes_by_keys_though_it_was_made_while_the_tables_were_empty(database: Database) -> None:
    async with database.write_batch() as connection:
        statement = batch_statement(tuple(ORDER), is_fenced=True).text.decode()
        count = 1 + 5 + sum(len(elements) for _, elements in batch_statement(tuple(ORDER), is_fenced=True).kinds)
        await connection.exec_driver_sql(f"PREPARE every_kind AS {statement}")
        nothing = ", ".join(["'{}'"] * count)
        plan = (await connection.exec_driver_sql(f"EXPLAIN EXECUTE every_kind({nothing})")).scalars().all()

    assert not [line for line in plan if "Seq Scan" in line]
    reached = [line for line in plan if "Index" in line and "Cond" in line]
    assert reached
    assert all("run_id" in line or "id = ANY" in line or "(id = " in line for line in reached)
