"""When a new run is refused: too many wait, the owner has too many, the queue stands still, the database is busy."""

import re
import sqlite3
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx
import pytest
from sqlalchemy import text, update

from shadowgraph.db.dialect import now_ms, plain_url
from shadowgraph.db.engine import Database
from shadowgraph.models.runs import runs
from shadowgraph.runs.admission import QUESTION, Limits, asked_of
from tests.support.api import V1, ApiParts, client_of, count_runs, create, require_problem
from tests.support.moves import Moves
from tests.support.runs import start_run
from tests.support.traces import dump

HOUR_MS = 3_600_000


async def post(parts: ApiParts, body: dict[str, Any] | None = None, **settings: Any) -> httpx.Response:
    async with client_of(parts.services(**settings)) as client:
        return await client.post(f"{V1}/runs", json=body or {"query": "one more"})


async def make_older(database: Database, run_id: str, milliseconds: int = HOUR_MS + 1000) -> None:
    async with database.write() as connection:
        await connection.execute(update(runs).where(runs.c.id == run_id).values(available_at=now_ms() - milliseconds))


async def test_an_owner_has_so_many_runs_waiting_or_running_and_no_more(parts: ApiParts, moves: Moves) -> None:
    async with client_of(parts.services()) as client:
        await moves.claim((await create(client))["id"])
        await create(client)

    refused = await post(parts, max_runs_per_owner=2)
    allowed = await post(parts, max_runs_per_owner=3)

    require_problem(refused, 429, "too_many_runs")
    assert int(refused.headers["retry-after"]) >= 1
    assert allowed.status_code == 202
    assert await count_runs(parts.database) == 3


async def test_runs_that_have_ended_or_wait_for_a_person_do_not_count(parts: ApiParts, moves: Moves) -> None:
    async with client_of(parts.services()) as client:
        await moves.complete(await moves.claim((await create(client))["id"]))
        await moves.await_human(await moves.claim((await create(client))["id"]))

    assert (await post(parts, max_runs_per_owner=1, max_queued_runs=1)).status_code == 202


async def test_a_queue_that_stands_still_refuses_new_runs_of_its_workflow_only(parts: ApiParts) -> None:
    stuck = await start_run(parts.database, workflow="pipeline")
    await make_older(parts.database, stuck.id)

    refused = await post(parts)
    other = await post(parts, {"workflow": "other", "input": {}})
    patient = await post(parts, max_queue_age_s=7200)

    assert require_problem(refused, 429, "queue_too_old")["workflow"] == "pipeline"
    assert int(refused.headers["retry-after"]) >= 30
    assert (other.status_code, patient.status_code) == (202, 202)


@pytest.mark.parametrize("priority", [-10, 10])
async def test_priority_does_not_change_how_old_a_run_is(parts: ApiParts, priority: int) -> None:
    stuck = await start_run(parts.database, workflow="pipeline", priority=priority)

    await make_older(parts.database, stuck.id, HOUR_MS - 10_000)
    young = await post(parts)
    await make_older(parts.database, stuck.id)
    old = await post(parts)

    assert young.status_code == 202
    require_problem(old, 429, "queue_too_old")


async def test_a_run_that_waits_for_its_thread_or_is_parked_is_not_old(parts: ApiParts, moves: Moves) -> None:
    first = await start_run(parts.database, workflow="pipeline", thread_id="talk")
    await moves.await_human(await moves.claim(first.id))
    waiting = await start_run(parts.database, workflow="pipeline", thread_id="talk", on_busy="enqueue")
    parked = await start_run(parts.database, workflow="pipeline")
    await make_older(parts.database, waiting.id)
    await make_older(parts.database, parked.id, -HOUR_MS)

    assert (await post(parts)).status_code == 202


@asynccontextmanager
async def busy(database: Database) -> AsyncIterator[None]:
    """Somebody else holds what a new run needs."""
    if database.dialect == "sqlite":
        other = sqlite3.connect(plain_url(database.url), isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        yield
        other.close()
    else:
        async with database.write() as connection:
            await connection.execute(text("LOCK TABLE runs IN EXCLUSIVE MODE"))
            yield


async def test_a_busy_database_is_no_defect_of_the_server(parts: ApiParts) -> None:
    async with busy(parts.database):
        refused = await post(parts)

    problem = require_problem(refused, 503, "database_unavailable")
    assert int(refused.headers["retry-after"]) >= 1
    assert problem["retryable"] is True
    assert await count_runs(parts.database) == 0


async def refuse_for(why: str, parts: ApiParts) -> dict[str, Any]:
    """Brings it about that a new run is refused; the settings with which it is."""
    run = await start_run(parts.database, workflow="pipeline")
    if why == "queue_too_old":
        await make_older(parts.database, run.id)
    limits = {"queue_full": {"max_queued_runs": 1}, "too_many_runs": {"max_runs_per_owner": 1}}
    return limits.get(why, {})


@pytest.mark.parametrize("why", ["queue_full", "too_many_runs", "queue_too_old", "database_unavailable"])
async def test_of_a_refused_run_nothing_is_stored_and_its_key_can_be_used_again(parts: ApiParts, why: str) -> None:
    settings = await refuse_for(why, parts)
    request: dict[str, Any] = {"json": {"query": "one more", "thread_id": "new"}, "headers": {"Idempotency-Key": "k"}}
    before, nudges = dump(parts.database.url), parts.nudges.count

    async with client_of(parts.services(**settings)) as client:
        if why == "database_unavailable":
            async with busy(parts.database):
                refused = await client.post(f"{V1}/runs", **request)
        else:
            refused = await client.post(f"{V1}/runs", **request)
    after = dump(parts.database.url)
    async with client_of(parts.services(max_queue_age_s=1e6)) as client:
        accepted = await client.post(f"{V1}/runs", **request)

    problem = require_problem(refused, 503 if why == "database_unavailable" else 429, why)
    assert problem["retryable"] is True
    assert int(refused.headers["retry-after"]) >= 1
    assert after == before
    assert parts.nudges.count == nudges + 1  # for the accepted one
    assert accepted.status_code == 202
    assert "idempotency-replayed" not in accepted.headers


MANY_RUNS = """
    INSERT INTO runs (id, workflow, kind, status, input_ref, input_preview, thread_id, checkpoint_thread, available_at, owner,
                      metadata, options, created_at, finished_at)
    SELECT 'run_' || lpad(n::text, 8, '0'), 'pipeline', 'live', CASE WHEN n % 10 = 0 THEN 'QUEUED' ELSE 'COMPLETED' END,
           'x', '', 't' || n, 't' || n, extract(epoch FROM now())::bigint * 1000 - n, 'owner' || n % 7, '{}', '{}', now(),
           CASE WHEN n % 10 = 0 THEN NULL ELSE now() END
    FROM generate_series(1, 20000) n
"""


async def test_the_question_is_answered_from_indexes_alone_however_many_runs_there_are(postgresql_url: str) -> None:
    database = Database(postgresql_url)
    try:
        run = await start_run(database, workflow="pipeline")
        async with database.write() as connection:
            await connection.execute(text(MANY_RUNS))
        async with database.outside_transactions() as driver:
            await driver.rollback()
            await driver.set_autocommit(True)
            await driver.execute("VACUUM ANALYZE runs")
            await driver.set_autocommit(False)

        plan = await explain(database, QUESTION, asked_of(run, Limits(10_000, 1_000, 3600.0)))
    finally:
        await database.close()

    assert set(re.findall(r"->  (.*Scan using \w+|.*Scan) on", plan)) == {
        "Index Only Scan using ix_runs_admission",
        "Index Scan using ix_runs_due",
        "Index Scan using ix_runs_thread",
    }
    assert "Index Cond: (owner = 'local'::text)" in plan


async def explain(database: Database, statement: Any, parameters: dict[str, Any]) -> str:
    """The plan that PostgreSQL would keep for any parameters."""
    async with database.read() as connection:
        await connection.execute(text("SET LOCAL plan_cache_mode = force_generic_plan"))
        stated = statement.compile(dialect=connection.dialect).construct_expanded_state(parameters)
        return "\n".join((await connection.exec_driver_sql(f"EXPLAIN {stated.statement}", stated.parameters)).scalars())
