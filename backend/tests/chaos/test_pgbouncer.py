"""PgBouncer in transaction mode between the processes and PostgreSQL: F32."""

import asyncio
import os
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from tests.chaos.conftest import OWN_SERVERS
from tests.chaos.expectations import expect_completed
from tests.chaos.figures import note_figure
from tests.chaos.matrix import whole_matrix
from tests.chaos.oracle import expected_output
from tests.chaos.records import Record
from tests.chaos.world import World, open_world
from tests.support.processes import BACKEND, Zygote, stage
from tests.support.services import POOLER_VARIABLE, require_pooler

SUITES = ("tests/integration", "tests/contract", "tests/e2e")
SUITE_SECONDS = 1800
LEASE_SECONDS = 4.0
LONG_LEASE_SECONDS = 60.0
SAYS_SLOW = f"a run whose worker dies is taken over after up to {LEASE_SECONDS + 2:g} s"
SAYS_FAST = "session locks and LISTEN go past it by DATABASE_DIRECT_URL"


@whole_matrix
@OWN_SERVERS
@pytest.mark.timeout(SUITE_SECONDS)
async def test_f32_the_suite_passes_through_the_pooler() -> None:
    require_pooler()
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "pytest", "-q", "-n", "2", "--dist", "loadgroup", *SUITES),
        cwd=BACKEND,
        env={**os.environ, POOLER_VARIABLE: "pgbouncer"},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    output, _ = await process.communicate()

    said = output.decode(errors="replace")
    assert process.returncode == 0, said[-6000:]
    assert " passed" in said.splitlines()[-1]


@whole_matrix
@OWN_SERVERS
async def test_f32_without_a_direct_way_recovery_takes_what_was_said_at_the_start(
    zygote: Zygote, tmp_path: Path, pooled_postgresql_url: str, record_property: Any
) -> None:
    with stage(zygote, tmp_path, LEASE_SECONDS=str(LEASE_SECONDS)) as prepared:
        async with open_world(prepared, pooled_postgresql_url) as world:
            api = await world.start_api()
            said, record, seconds = await kill_and_measure(world)

    note_figure(record_property, f"recovery through a pooler (lease {LEASE_SECONDS:g} s)", [seconds])
    assert SAYS_SLOW in said
    assert SAYS_SLOW in api.output()
    assert {row["presence"] for row in world.observer.rows("SELECT presence FROM workers")} == {None}
    expect_completed(record, expected_output())


@whole_matrix
@OWN_SERVERS
async def test_f32_with_a_direct_way_recovery_does_not_wait_for_the_lease(
    zygote: Zygote, tmp_path: Path, pooled_postgresql_url: str, direct_postgresql_url: str, record_property: Any
) -> None:
    settings = {"LEASE_SECONDS": str(LONG_LEASE_SECONDS), "PRESENCE_GRACE_S": "0"}
    with stage(zygote, tmp_path, DATABASE_DIRECT_URL=direct_postgresql_url, **settings) as prepared:
        async with open_world(prepared, pooled_postgresql_url) as world:
            api = await world.start_api()
            said, record, seconds = await kill_and_measure(world)

    note_figure(record_property, "recovery past a pooler (lease 60 s)", [seconds])
    assert SAYS_FAST in said
    assert SAYS_FAST in api.output()
    assert seconds < LONG_LEASE_SECONDS / 2
    expect_completed(record, expected_output())


async def kill_and_measure(world: World) -> tuple[str, Record, float]:
    """What the first worker said, its run, and the time from its death to the claim by another."""
    gate = world.hold("planner")
    doomed = await world.start_worker()
    run_id = await world.submit(trouble=gate.trouble)
    await world.until_in_node(run_id, "planner")
    await world.start_worker()
    doomed.process.kill()
    killed = time.time()
    await world.until_event(run_id, "run.taken_over")
    gate.open()
    record = await world.until_status(run_id)
    return doomed.process.output(), record, record.first_event("run.taken_over")["at"].timestamp() - killed
