"""The primary dies and its standby is promoted: F31."""

import asyncio
import contextlib
import time
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pytest

from shadowgraph.runs.timelines import TOKEN_LEAP
from tests.chaos.conftest import OWN_SERVERS
from tests.chaos.expectations import expect_completed, expect_paid_once
from tests.chaos.figures import note_figure
from tests.chaos.matrix import whole_matrix
from tests.chaos.oracle import expected_output
from tests.chaos.records import Observer
from tests.chaos.standby import PostgresPair
from tests.chaos.world import LEAST_CALLS, World, open_world
from tests.support.private_servers import BinaryMissing
from tests.support.processes import Zygote, stage
from tests.support.proxy import proxy_to
from tests.support.requirements import skip_or_fail
from tests.support.waiting import wait_until

LEASE = {"LEASE_SECONDS": "3"}
BACK_SECONDS = 10.0
"""The promise: from the promotion to the next accepted run."""
PAUSE_SECONDS = 0.1
RUNS_BEFORE = 8
RUNS_AFTER = 4


@pytest.fixture
def pair(servers_folder: Path, request: pytest.FixtureRequest) -> Iterator[PostgresPair]:
    folder = servers_folder / f"pair-{request.node.name}"
    folder.mkdir()
    folder.chmod(0o755)
    try:
        servers = PostgresPair(folder)
    except BinaryMissing as missing:
        skip_or_fail(str(missing))
    yield servers
    servers.stop()


@dataclass(slots=True)
class Load:
    """Somebody who starts one run after the other, and remembers what was accepted when."""

    world: World
    accepted: dict[str, float] = field(default_factory=dict)
    refused: int = 0

    @contextlib.asynccontextmanager
    async def going_on(self) -> AsyncIterator["Load"]:
        task = asyncio.create_task(self._go_on())
        try:
            yield self
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    async def _go_on(self) -> None:
        while True:
            try:
                run_id = await self.world.submit()
                self.accepted[run_id] = time.monotonic()
            except (AssertionError, httpx.TransportError):
                self.refused += 1
            await asyncio.sleep(PAUSE_SECONDS)  # so many a second, whatever the answer

    def since(self, moment: float) -> list[float]:
        return [at for at in self.accepted.values() if at > moment]


@whole_matrix
@OWN_SERVERS
@pytest.mark.timeout(300)
async def test_f31_a_promoted_synchronous_standby_loses_nothing_and_repeats_nothing(
    pair: PostgresPair, zygote: Zygote, tmp_path: Path, record_property: Any
) -> None:
    await pair.make_synchronous()
    with pair.primary.database() as url, stage(zygote, tmp_path, **LEASE) as prepared:
        async with open_world(prepared, pair.url_of_both(url), knobs="latency_ms=300") as world:
            await world.start_api()
            for _ in range(2):
                await world.start_worker()
            async with Load(world).going_on() as load:
                await wait_until(lambda: len(load.accepted) >= RUNS_BEFORE, timeout_seconds=60, what="the load")
                await pair.fail_over()
                promoted = time.monotonic()
                await wait_until(
                    lambda: load.since(promoted), timeout_seconds=BACK_SECONDS, what="runs to be accepted again"
                )
                await wait_until(lambda: len(load.since(promoted)) >= RUNS_AFTER, timeout_seconds=60, what="the load")
            records = [await world.until_status(run_id) for run_id in load.accepted]
            asked = {run_id: await world.calls(run_id) for run_id in load.accepted}

    assert not pair.primary.is_up
    note_figure(record_property, "promotion of a standby to an accepted run", [min(load.since(promoted)) - promoted])
    for record in records:
        expect_completed(record, expected_output())
        expect_paid_once(record, asked[record.run["id"]])
        assert record.claims == 1


@whole_matrix
@OWN_SERVERS
@pytest.mark.timeout(300)
async def test_f31_workers_that_know_of_lost_commits_write_nothing_after_the_promotion(
    pair: PostgresPair, zygote: Zygote, tmp_path: Path
) -> None:
    """One forgets a run's steps and goes on as if they were there; one has a claim that the new server never heard of."""
    with pair.primary.database() as url, stage(zygote, tmp_path, **LEASE) as prepared:
        at_standby = pair.url_at_standby(url)
        async with (
            proxy_to(url, default_port=5432) as proxy,
            open_world(prepared, proxy.url(url), knobs="executor.latency_ms=3000", observe=url) as world,
        ):
            await world.start_api()
            forgotten = await world.start_worker("--slots", "1")
            gate, second_gate = world.hold("planner"), world.hold("researcher", name="second gate")
            run_id = await world.submit(trouble=gate.trouble)
            await world.until_in_node(run_id, "planner")
            claimed_later = await world.submit(trouble=second_gate.trouble)

            await pair.cut_off()
            stale = await world.start_worker()
            await world.until_in_node(claimed_later, "researcher")
            gate.open()
            await world.until_asked(run_id, "executor")
            stale.process.freeze()
            await pair.fail_over()
            world.observer = Observer(at_standby)
            proxy.lead_to("127.0.0.1", pair.standby.port)
            heir = await world.start_worker()
            await world.until_event(claimed_later, "run.started")
            stale.process.thaw()
            second_gate.open()

            records = {each: await world.until_status(each) for each in (run_id, claimed_later)}
            for worker in (forgotten, heir):
                worker.process.terminate()
                await worker.process.wait_for_end()
            # Once it has done another run it has done all that it wanted to do for the one that it lost.
            later = await world.until_status(await world.submit())
            asked = {each: await world.calls(each) for each in records}
            settled = {each: world.observer.record(each) for each in records}

    assert later.first_event("run.started")["payload"]["worker"] == stale.id
    for each, record in settled.items():
        assert record == records[each]
        expect_completed(record, expected_output())
    assert records[claimed_later].first_event("run.started")["payload"]["worker"] != stale.id
    expect_paid_once(records[claimed_later], asked[claimed_later])
    lost = Counter(["planner", "executor"])
    assert asked[run_id] == LEAST_CALLS + lost
    assert all(record.run["lease_token"] > TOKEN_LEAP for record in records.values())
