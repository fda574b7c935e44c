from pathlib import Path

import httpx
from sqlalchemy import select, text
from starlette.types import Message, Receive, Scope, Send

from shadowgraph.api.app import create_app
from shadowgraph.db.engine import Database
from shadowgraph.models.events import events
from shadowgraph.models.outbox import outbox
from shadowgraph.runs.repository import require_run
from tests.support.api import V1, ApiParts, add_workflow, client_of, count_runs, create, pointers, require_problem

TRACE = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"


async def test_a_new_run_is_accepted_and_stored_with_its_event_and_outbox_row(
    client: httpx.AsyncClient, database: Database, parts: ApiParts
) -> None:
    response = await client.post(f"{V1}/runs", json={"query": "Build a snake game"})

    run = response.json()
    assert response.status_code == 202
    assert response.headers["location"] == f"{V1}/runs/{run['id']}"
    assert run["status"] == "QUEUED"
    assert parts.nudges.count == 1
    async with database.read() as connection:
        assert (await connection.scalars(select(events.c.type).where(events.c.run_id == run["id"]))).all() == [
            "run.queued"
        ]
        payloads = (await connection.scalars(select(outbox.c.payload))).all()
    assert [payload["run_id"] for payload in payloads] == [run["id"]]


async def test_all_that_was_asked_for_is_echoed(client: httpx.AsyncClient) -> None:
    body = {
        "workflow": "agent",
        "input": {"question": "why?", "query": "q"},
        "priority": -3,
        "max_steps": 7,
        "metadata": {"order_id": "7"},
        "subject": "jane",
        "budget_usd": 0.25,
    }

    run = (await client.post(f"{V1}/runs", json=body)).json()

    assert run["input"] == body["input"]
    assert run["query"] == "q"
    assert run["preview"] == "why? q"
    assert {name: run[name] for name in body if name != "input"} == {
        "workflow": "agent",
        "priority": -3,
        "max_steps": 7,
        "metadata": {"order_id": "7"},
        "subject": "jane",
        "budget_usd": 0.25,
    }
    assert run["version"] is None
    assert run["thread_id"] == run["id"]
    assert run["result"] is run["error"] is run["parent_run_id"] is run["started_at"] is run["finished_at"] is None
    assert run["usage"] == {
        "prompt_tokens": 0,
        "completion_tokens": 0,
        "unreported": 0,
        "unpriced": 0,
        "cost_usd": 0,
        "cost_state": "exact",
    }
    assert run["created_at"].endswith("Z")
    assert run["links"]["events"] == f"{V1}/runs/{run['id']}/events"


async def test_a_query_alone_is_short_for_the_pipeline(client: httpx.AsyncClient) -> None:
    run = await create(client, "Build it")

    assert (run["workflow"], run["input"], run["query"]) == ("pipeline", {"query": "Build it"}, "Build it")


async def test_the_root_serves_the_same(client: httpx.AsyncClient) -> None:
    response = await client.post("/runs", json={"query": "x"})

    assert response.status_code == 202
    assert response.headers["location"].startswith(f"{V1}/runs/run_")
    assert (await client.get(f"/runs/{response.json()['id']}")).status_code == 200


async def test_the_callers_trace_goes_with_the_run(client: httpx.AsyncClient, database: Database) -> None:
    good = await client.post(f"{V1}/runs", json={"query": "x"}, headers={"traceparent": TRACE})
    bad = await client.post(f"{V1}/runs", json={"query": "x"}, headers={"traceparent": "00-zero-zero-00"})

    async with database.read() as connection:
        assert (await require_run(connection, good.json()["id"])).traceparent == TRACE
        assert (await require_run(connection, bad.json()["id"])).traceparent is None


async def test_null_in_a_field_that_is_not_served_yet_says_nothing(client: httpx.AsyncClient) -> None:
    await create(client, thread_id=None, on_busy=None, timeout_s=None, budget_usd=None)


async def test_an_unknown_workflow_is_refused_and_the_known_ones_are_named(
    client: httpx.AsyncClient, database: Database
) -> None:
    await add_workflow(database, "agent")

    response = await client.post(f"{V1}/runs", json={"query": "x"})

    problem = require_problem(response, 422, "unknown_workflow")
    assert "agent" in problem["hint"]
    assert await count_runs(database) == 0


async def test_any_name_is_accepted_while_no_worker_has_said_what_it_runs(client: httpx.AsyncClient) -> None:
    await create(client)


async def test_an_input_that_does_not_fit_the_schema_is_refused_with_each_place(
    client: httpx.AsyncClient, database: Database
) -> None:
    await add_workflow(database)

    response = await client.post(f"{V1}/runs", json={"workflow": "pipeline", "input": {"query": 7, "colour": "red"}})

    problem = require_problem(response, 422, "invalid_input")
    assert "/input/query" in list(pointers(problem))
    assert await count_runs(database) == 0


async def test_a_full_queue_refuses_new_runs(database: Database, tmp_path: Path) -> None:
    async with client_of(ApiParts(database, tmp_path).services(max_queued_runs=2)) as client:
        await create(client, "1")
        await create(client, "2")

        refused = await client.post(f"{V1}/runs", json={"query": "3"})

    problem = require_problem(refused, 429, "queue_full")
    assert int(refused.headers["retry-after"]) >= 1
    assert problem["retryable"] is True
    assert await count_runs(database) == 2


async def test_a_full_queue_still_repeats_its_answers(database: Database, tmp_path: Path) -> None:
    parts, keyed = ApiParts(database, tmp_path), {"Idempotency-Key": "k"}
    async with client_of(parts.services()) as client:
        first = await client.post(f"{V1}/runs", json={"query": "1"}, headers=keyed)
        await create(client, "2")
    async with client_of(parts.services(max_queued_runs=1)) as client:
        repeated = await client.post(f"{V1}/runs", json={"query": "1"}, headers=keyed)

    assert repeated.status_code == 202
    assert repeated.json() == first.json()


async def test_the_answer_leaves_after_the_commit(parts: ApiParts, database: Database) -> None:
    app, seen = create_app(parts.services()), []

    async def watched(scope: Scope, receive: Receive, send: Send) -> None:
        async def look_before_sending(message: Message) -> None:
            if message["type"] == "http.response.start":
                seen.append(await count_runs(database))
            await send(message)

        await app(scope, receive, look_before_sending)

    async with httpx.AsyncClient(transport=httpx.ASGITransport(watched), base_url="http://localhost") as client:
        response = await client.post(f"{V1}/runs", json={"query": "x"})

    assert response.status_code == 202
    assert seen == [1]


async def test_a_commit_that_fails_is_no_202(client: httpx.AsyncClient, database: Database, parts: ApiParts) -> None:
    await _break_commits(database)

    response = await client.post(f"{V1}/runs", json={"query": "x"})

    require_problem(response, 500, "internal")
    assert parts.nudges.count == 0
    assert await count_runs(database) == 0
    await _mend_commits(database)


async def _break_commits(database: Database) -> None:
    """Every transaction that stores a run is refused at its commit, not before."""
    statements = [
        "CREATE TABLE commit_breaker (id INTEGER PRIMARY KEY, parent INTEGER REFERENCES commit_breaker (id) "
        "DEFERRABLE INITIALLY DEFERRED)"
    ]
    if database.dialect == "sqlite":
        statements.append(
            "CREATE TRIGGER break_commit AFTER INSERT ON runs BEGIN INSERT INTO commit_breaker VALUES (1, 2); END"
        )
    else:
        statements.append(
            "CREATE FUNCTION break_commit() RETURNS trigger LANGUAGE plpgsql AS "
            "$$ BEGIN INSERT INTO commit_breaker VALUES (1, 2); RETURN NULL; END $$"
        )
        statements.append(
            "CREATE TRIGGER break_commit AFTER INSERT ON runs FOR EACH ROW EXECUTE FUNCTION break_commit()"
        )
    async with database.write() as connection:
        for statement in statements:
            await connection.execute(text(statement))


async def _mend_commits(database: Database) -> None:
    """The PostgreSQL database is shared with the tests that follow."""
    if database.dialect == "sqlite":
        return
    async with database.write() as connection:
        await connection.execute(text("DROP TABLE commit_breaker"))
        await connection.execute(text("DROP FUNCTION break_commit CASCADE"))
