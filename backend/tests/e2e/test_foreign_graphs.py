"""Graphs that know nothing of us end as they do without us: undisturbed, killed at every superstep, forked, and asked about."""

import asyncio
import itertools
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, TypeVar

import httpx
import pytest

from tests.chaos.figures import PROPERTY, RecordProperty
from tests.chaos.matrix import whole_matrix
from tests.e2e.conftest import settings_apart, settings_for
from tests.support.deployments import ENDED, Deployment, Kind, offline_face, wait_for_status
from tests.support.foreign_kinds import (
    CALLS,
    FOREIGN,
    INPUTS,
    SIDE_BY_SIDE,
    answer,
    begin,
    output_of,
    wait_until_served,
    with_a_journal,
)
from tests.support.offline import Gate, offline_server
from tests.support.processes import Zygote, stage
from tests.support.waiting import HTTP_POLL_SECONDS, wait_until

Level = Literal["L0", "L1"]
CHECKPOINT = "engine.checkpoint.after"
NODE_DONE = "engine.pending.before"
"""A node has returned, and nothing is stored of it."""
JOURNAL = "engine.journal.finished"
"""A call of `shadowgraph.chat_model` has ended."""
ANSWER = "engine.answer.finished"
"""A call of an author's own model, which `shadowgraph.middleware` watches, has ended."""
JOURNALED_BY = {"agent": (ANSWER,), "supervisor": (ANSWER, JOURNAL)}
OWN_MODELS = ("model", "counter", "speller")
"""Names under which the agents' own models ask: the middleware journals them, and no limit of ours stops them."""
ENDS_OF_CALLS = [(kind, point) for kind in INPUTS for point in JOURNALED_BY.get(kind, (JOURNAL,))]


@dataclass(slots=True)
class Scene:
    deployment: Deployment
    face: httpx.AsyncClient
    replacement: dict[str, str] = field(default_factory=dict)
    """What the worker is told that takes a dead one's place."""

    async def count_calls(self) -> Counter[str]:
        """Requests that reached the provider since the last look, by call; those of an author's own model do not name theirs."""
        calls = (await self.face.get("/calls")).json()
        await self.face.delete("/calls")
        return Counter((call["call"] or "").rpartition("/")[0] for call in calls)

    async def finish(self, client: httpx.AsyncClient, run_id: str) -> tuple[dict[str, Any], int]:
        """The run when it has ended, and how many workers died of it. Its questions are answered, its dead workers replaced."""
        died = 0
        while True:
            run = await self._next_turn(client, run_id)
            if run is None:
                died += 1
                await self.deployment.start_worker(**self.replacement)
            elif run["status"] in ENDED:
                assert run["status"] == "COMPLETED", run["error"]
                return run, died
            else:
                await answer(client, run_id)

    async def finish_all(self, client: httpx.AsyncClient, run_ids: Mapping[str, str]) -> dict[str, dict[str, Any]]:
        """Runs that go on side by side, looked at one after another: many looks at once would take the server's time."""
        return {kind: (await self.finish(client, run_id))[0] for kind, run_id in run_ids.items()}

    async def _next_turn(self, client: httpx.AsyncClient, run_id: str) -> dict[str, Any] | None:
        """None: its worker is dead."""
        found: dict[str, Any] = {}

        async def is_due() -> bool:
            worker = self.deployment.worker
            assert worker is not None
            if not worker.is_alive:
                found.clear()
                return True
            with suppress(httpx.TransportError):
                found.update((await client.get(f"/runs/{run_id}")).json())
                is_asked = any(item["status"] == "open" for item in found["interactions"])
                return found["status"] in ENDED or (found["status"] == "AWAITING_HUMAN" and is_asked)
            return False

        what = f"run {run_id} to end, to ask, or to lose its worker"
        await wait_until(is_due, timeout_seconds=60, what=what, every_seconds=HTTP_POLL_SECONDS)
        return found or None


OpenScene = Callable[..., AbstractAsyncContextManager[Scene]]


@pytest.fixture
def open_scene(request: pytest.FixtureRequest, zygote: Zygote, tmp_path: Path) -> OpenScene:
    @asynccontextmanager
    async def open_it(database: Kind, level: Level = "L0", *, knobs: str = "") -> AsyncIterator[Scene]:
        with stage(zygote, tmp_path, **settings_for(database, request)) as prepared:
            async with offline_face(prepared.with_env(OFFLINE_MODEL=knobs)) as face:
                env = {"GROQ_API_KEY": "any", "GROQ_BASE_URL": str(face.base_url).rstrip("/"), "FOREIGN_LEVEL": level}
                yield Scene(Deployment(database, prepared.with_env(**env), projects=[FOREIGN]), face)

    return open_it


# --- one server for all that nobody disturbs ------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Shared:
    deployment: Deployment
    face: str
    """Where the model answers."""
    gate: Gate
    """Before the model."""


SUFFIX: dict[Level, str] = {"L0": "", "L1": "_L1"}
"""Of the workflows."""
SHARED = pytest.mark.parametrize(
    ("shared", "level"),
    [
        pytest.param(
            database, level, marks=[pytest.mark.xdist_group(f"foreign-{database}"), pytest.mark.timeout(300), *marks]
        )
        for database, level, marks in [
            ("embedded", "L0", []),
            ("embedded", "L1", [whole_matrix]),
            ("postgresql", "L0", [whole_matrix]),
            ("postgresql", "L1", []),
        ]
    ],
    indirect=["shared"],
)


@pytest.fixture(scope="module")
def shared(
    request: pytest.FixtureRequest, zygote: Zygote, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Shared]:
    """Serves the project at both levels."""
    folder, gate = tmp_path_factory.mktemp("shared"), Gate()
    projects = [FOREIGN, with_a_journal(folder / "foreign_L1")]
    with settings_apart(request.param, request) as settings, offline_server(gate=gate) as face:
        model = {"GROQ_API_KEY": "any", "GROQ_BASE_URL": face}
        with stage(zygote, folder, **settings, **model) as prepared:
            deployment = Deployment(request.param, prepared, projects=projects)
            asyncio.run(deployment.start())
            yield Shared(deployment, face, gate)


@asynccontextmanager
async def scene_on(shared: Shared, level: Level) -> AsyncIterator[tuple[Scene, httpx.AsyncClient]]:
    async with httpx.AsyncClient(base_url=shared.face) as face, shared.deployment.client() as client:
        await wait_until_served(client, suffix=SUFFIX[level])
        await face.delete("/calls")
        yield Scene(shared.deployment, face), client


@SHARED
async def test_each_ends_as_without_us_metered_and_so_does_its_fork(
    shared: Shared, level: Level, plain_results: dict[str, Any]
) -> None:
    async with scene_on(shared, level) as (scene, client):
        runs = await scene.finish_all(client, await of_each(lambda kind: begin(client, kind, suffix=SUFFIX[level])))
        counted = (await scene.count_calls()).total()
        attempts = await of_each(lambda kind: list_attempts(client, runs[kind]))
        forks = await scene.finish_all(client, await of_each(lambda kind: fork_in_the_middle(client, runs[kind])))
        counted_again = (await scene.count_calls()).total()
        attempts_again = await of_each(lambda kind: list_attempts(client, forks[kind]))

    assert {kind: output_of(run) for kind, run in runs.items()} == plain_results
    assert {kind: output_of(run) for kind, run in forks.items()} == plain_results
    assert {kind: len(rows) for kind, rows in attempts.items()} == CALLS
    assert counted == sum(CALLS.values())
    assert counted_again == sum(len(rows) for rows in attempts_again.values())
    for kind in INPUTS:
        assert len(attempts_again[kind]) <= CALLS[kind]
        for row in (*attempts[kind], *attempts_again[kind]):
            assert (row["status"], row["tokens_source"]) == ("done", "provider"), row
            assert row["gated"] == (level == "L1" and row["agent"] not in OWN_MODELS), row
            assert row["prompt_tokens"] > 0, row
            assert row["completion_tokens"] > 0, row


T = TypeVar("T")


async def of_each(work: Callable[[str], Awaitable[T]]) -> dict[str, T]:
    """Of each kind of graph."""
    return {kind: await work(kind) for kind in INPUTS}


async def list_attempts(client: httpx.AsyncClient, run: dict[str, Any]) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = (await client.get(f"/runs/{run['id']}/export.json")).json()["llm_attempts"]
    return found


async def fork_in_the_middle(client: httpx.AsyncClient, run: dict[str, Any]) -> str:
    listed = (await client.get(f"/runs/{run['id']}/checkpoints")).json()["items"]
    inside = [item for item in listed if item["next_nodes"] and item["next_nodes"] != ["__start__"]]
    body = {"checkpoint_id": inside[len(inside) // 2]["checkpoint_id"]}
    fork = await client.post(f"/runs/{run['id']}/fork", json=body)
    assert fork.status_code == 202, fork.text
    fork_id: str = fork.json()["id"]
    return fork_id


@SHARED
async def test_each_is_cancelled_in_the_middle_of_a_call(shared: Shared, level: Level) -> None:
    async with scene_on(shared, level) as (_, client):
        with shared.gate.closed():
            run_ids = await of_each(lambda kind: begin(client, kind, suffix=SUFFIX[level]))
            await of_each(lambda kind: cancel_in_a_call(client, run_ids[kind]))
            ended = await of_each(lambda kind: wait_for_status(client, run_ids[kind]))

    assert {kind: run["status"] for kind, run in ended.items()} == dict.fromkeys(INPUTS, "CANCELLED")


async def cancel_in_a_call(client: httpx.AsyncClient, run_id: str) -> None:
    async def is_asking() -> bool:
        return bool(await list_attempts(client, {"id": run_id}))

    what = f"run {run_id} to ask its model"
    await wait_until(is_asking, timeout_seconds=60, what=what, every_seconds=HTTP_POLL_SECONDS)
    assert (await client.post(f"/runs/{run_id}/cancel")).is_success


# --- killed ---------------------------------------------------------------------------------------------------------------------


async def kill_at_each(scene: Scene, kind: str, point: str) -> AsyncIterator[tuple[Any, Counter[str], int]]:
    """Outputs and requests of run after run: the first one's worker dies when it first comes by, the second one's when it comes by for the
    second time, and so on up to the run whose worker lives; and whose worker has died."""
    deployment = scene.deployment
    for n in itertools.count(1):
        start = deployment.start if n == 1 else deployment.start_worker
        await start(SHADOWGRAPH_FAILPOINTS=f"{point}=kill@{n}")
        async with deployment.client() as client:
            await wait_until_served(client)
            run, died = await scene.finish(client, await begin(client, kind))
        yield output_of(run), await scene.count_calls(), died
        if died == 0:
            return
        assert deployment.worker is not None
        deployment.worker.kill()
        await deployment.worker.wait_for_end()


@pytest.mark.timeout(180)
@pytest.mark.parametrize(
    ("kind", "level", "point"), [("pydantic_state", "L0", CHECKPOINT), ("agent", "L1", ANSWER)], ids=["L0", "L1"]
)
async def test_killed_again_and_again_it_pays_no_finished_call_twice(
    open_scene: OpenScene, plain_results: dict[str, Any], kind: str, level: Level, point: str
) -> None:
    """One run whose every worker dies as soon as it has got on; the whole matrix has a run for each death."""
    async with open_scene("postgresql", level) as scene:
        scene.replacement = {"SHADOWGRAPH_FAILPOINTS": f"{point}=kill"}
        await scene.deployment.start(**scene.replacement)
        async with scene.deployment.client() as client:
            await wait_until_served(client)
            run, died = await scene.finish(client, await begin(client, kind))
        calls = await scene.count_calls()

    assert output_of(run) == plain_results[kind]
    assert died >= CALLS[kind]
    assert calls.total() == CALLS[kind]


@whole_matrix
@pytest.mark.timeout(600)
@pytest.mark.parametrize(
    ("database", "kind", "point"),
    [
        (database, kind, point)
        for database in ("embedded", "postgresql")
        for kind in INPUTS
        for point in (CHECKPOINT, NODE_DONE)
    ],
)
async def test_killed_at_every_superstep_it_ends_the_same(
    open_scene: OpenScene,
    plain_results: dict[str, Any],
    database: Kind,
    kind: str,
    point: str,
    record_property: RecordProperty,
) -> None:
    async with open_scene(database) as scene:
        ends = [end async for end in kill_at_each(scene, kind, point)]

    extra = sum(calls.total() - CALLS[kind] for _, calls, _ in ends)
    record_property(PROPERTY, f"{kind} unchanged, {database}, {point}: {len(ends) - 1} kills, {extra} calls repeated")
    assert [died for _, _, died in ends] == [*[1] * (len(ends) - 1), 0]
    assert len(ends) > 1
    assert [output for output, _, _ in ends] == [plain_results[kind]] * len(ends)
    at_most = 0 if point == CHECKPOINT else SIDE_BY_SIDE.get(kind, 1)
    for _, calls, _ in ends:
        assert CALLS[kind] <= calls.total() <= CALLS[kind] + at_most, calls


@whole_matrix
@pytest.mark.timeout(600)
@pytest.mark.parametrize(
    ("database", "kind", "point"),
    [
        (database, kind, point)
        for database in ("embedded", "postgresql")
        for kind, point in [*ENDS_OF_CALLS, *itertools.product(INPUTS, (CHECKPOINT, NODE_DONE))]
    ],
)
async def test_with_a_journal_no_finished_call_is_paid_twice(
    open_scene: OpenScene,
    plain_results: dict[str, Any],
    database: Kind,
    kind: str,
    point: str,
    record_property: RecordProperty,
) -> None:
    async with open_scene(database, "L1") as scene:
        ends = [end async for end in kill_at_each(scene, kind, point)]

    extra = sum(calls.total() - CALLS[kind] for _, calls, _ in ends)
    record_property(PROPERTY, f"{kind} with a journal, {database}, {point}: {len(ends) - 1} kills, {extra} repeated")
    assert len(ends) > 1
    assert [died for _, _, died in ends] == [*[1] * (len(ends) - 1), 0]
    assert [output for output, _, _ in ends] == [plain_results[kind]] * len(ends)
    for n, (_, calls, _) in enumerate(ends, 1):
        assert CALLS[kind] <= calls.total() <= CALLS[kind] + in_flight(kind, point, n), calls


def in_flight(kind: str, point: str, n: int) -> int:
    """The most calls whose end nobody has seen when a worker dies as it comes by for the nth time."""
    others = SIDE_BY_SIDE.get(kind, 1) - 1
    return {CHECKPOINT: 0, NODE_DONE: others}.get(point, max(0, others + 1 - n))


@pytest.mark.parametrize("finished", [1, pytest.param(2, marks=whole_matrix)])
async def test_of_three_calls_at_once_a_crash_repeats_those_in_flight(
    open_scene: OpenScene, plain_results: dict[str, Any], finished: int
) -> None:
    async with open_scene("embedded", "L1", knobs="latency_ms=400&jitter_ms=200") as scene:
        await scene.deployment.start(SHADOWGRAPH_FAILPOINTS=f"{JOURNAL}=kill@{finished}")
        doomed = scene.deployment.worker
        assert doomed is not None
        async with scene.deployment.client() as client:
            await wait_until_served(client)
            run_id = await begin(client, "parallel")
            await doomed.wait_for_end()
            before = await scene.count_calls()
            await scene.deployment.start_worker()
            run, _ = await scene.finish(client, run_id)
            after = await scene.count_calls()

    assert output_of(run) == plain_results["parallel"]
    assert sorted(before.values()) == [1, 1, 1]  # all three were under way
    assert after <= before
    assert after.total() <= len(before) - finished
