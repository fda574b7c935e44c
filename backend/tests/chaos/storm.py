"""A deployment under faults at random: everything that dies is started again, as a supervisor would, and clients ask until they are answered."""

import asyncio
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

import httpx
import psycopg

from tests.chaos.oracle import expected_fan_out, expected_output
from tests.chaos.plan import Fault
from tests.chaos.servers import OwnPostgres, OwnRabbit
from tests.chaos.world import FAN_OUT_CALLS, LEAST_CALLS, World, fan_out_request
from tests.support.deployments import ENDED
from tests.support.processes import Process
from tests.support.proxy import TcpProxy
from tests.support.waiting import wait_until

WORKERS = 3
SLOTS = 4
EVERY_SO_MANY_FANS_OUT = 5
RESTART_SECONDS = 0.3
RETRY_SECONDS = 0.3
SHARE_OF_TIME_TO_SUBMIT = 0.8


@dataclass(frozen=True, slots=True)
class Job:
    """What a client wants, and what it must get."""

    number: int
    body: dict[str, Any]
    output: Any
    least_calls: Counter[str]


def build_jobs(count: int) -> list[Job]:
    return [_fan_out(number) if number % EVERY_SO_MANY_FANS_OUT == 0 else _line(number) for number in range(count)]


def _line(number: int) -> Job:
    query = f"lighthouse {number}"
    return Job(number, {"workflow": "faults", "input": {"query": query}}, expected_output(query), LEAST_CALLS)


def _fan_out(number: int) -> Job:
    return Job(number, fan_out_request(), expected_fan_out(), FAN_OUT_CALLS)


@dataclass(slots=True)
class Storm:
    world: World
    database: OwnPostgres
    ways_to_database: Sequence[TcpProxy]
    """One per worker."""
    broker: OwnRabbit
    way_to_broker: TcpProxy
    workers: dict[int, Process] = field(default_factory=dict)
    accepted: dict[str, Job] = field(default_factory=dict)
    """By run id."""
    struck: Counter[str] = field(default_factory=Counter)
    """How often each kind of fault happened."""
    retried: Counter[str] = field(default_factory=Counter)
    """Runs that took three workers with them, or seemed to: somebody had to send them on."""
    _in_trouble: set[str] = field(default_factory=set)

    @asynccontextmanager
    async def crew(self) -> AsyncIterator[None]:
        """API and workers; whichever ends is started again while the block is open."""
        supervisors = [asyncio.create_task(_keep_alive(self._start_api))]
        supervisors += [asyncio.create_task(_keep_alive(self._worker_starter(number))) for number in range(WORKERS)]
        try:
            yield
        finally:
            for supervisor in supervisors:
                supervisor.cancel()
            await asyncio.gather(*supervisors, return_exceptions=True)

    def _start_api(self) -> Process:
        self.world.api = self.world.stage.start("api", "--port", str(self.world.port))
        return self.world.api

    def _worker_starter(self, number: int) -> Callable[[], Process]:
        def start() -> Process:
            through = self.ways_to_database[number].url(self.world.stage.env["DATABASE_URL"])
            self.workers[number] = self.world.begin_worker("--slots", str(SLOTS), DATABASE_URL=through)
            return self.workers[number]

        return start

    # --- clients ------------------------------------------------------------------------------------------------------------

    async def submit_all(self, jobs: Sequence[Job], *, seconds: float) -> None:
        """Evenly over most of that time."""
        began = time.monotonic()
        async with httpx.AsyncClient(base_url=self.world.url, timeout=10) as client:
            for job in jobs:
                due = began + job.number * seconds * SHARE_OF_TIME_TO_SUBMIT / len(jobs)
                await asyncio.sleep(max(0.0, due - time.monotonic()))
                self.accepted[await _insist(client, job)] = job

    async def until_all_ended(self, *, timeout_seconds: float) -> None:
        """After a retry of those that lost three workers in a row: they are failed for it, and nothing else is wrong with them."""

        async def all_ended() -> bool:
            with suppress(Exception):
                rows = self.world.observer.rows("SELECT id, status, error->>'code' AS code FROM runs")
                lost = [row["id"] for row in rows if row["code"] == "worker_lost"]
                for run_id in lost:
                    await self._retry(run_id)
                return not lost and {row["status"] for row in rows} <= set(ENDED)
            return False

        await wait_until(all_ended, timeout_seconds=timeout_seconds, what="all runs to end")

    async def _retry(self, run_id: str) -> None:
        answer = await self.world.post(f"/runs/{run_id}/retry")
        self.retried[run_id] += answer.status_code == httpx.codes.ACCEPTED

    # --- faults -------------------------------------------------------------------------------------------------------------

    async def rage(self, faults: Sequence[Fault]) -> None:
        """All of them; when this returns each is over."""
        began = time.monotonic()
        async with asyncio.TaskGroup() as group:
            for fault in faults:
                await asyncio.sleep(max(0.0, began + fault.at - time.monotonic()))
                if fault.victim not in self._in_trouble:
                    self._in_trouble.add(fault.victim)
                    group.create_task(self._strike(fault))

    async def _strike(self, fault: Fault) -> None:
        try:
            await self._do(fault)
        finally:
            self._in_trouble.discard(fault.victim)
        self.struck[fault.kind] += 1

    async def _do(self, fault: Fault) -> None:
        match fault.kind:
            case "kill worker":
                self.workers[fault.worker].kill()
            case "terminate worker":
                await _terminate(self.workers[fault.worker])
            case "freeze worker":
                await _freeze(self.workers[fault.worker], fault.seconds)
            case "kill API":
                assert self.world.api is not None
                self.world.api.kill()
            case "restart database":
                await asyncio.to_thread(self.database.stop)
                await asyncio.sleep(fault.seconds)
                await asyncio.to_thread(self.database.start)
            case "kill database":
                await self.database.kill()
                await asyncio.to_thread(self.database.start)
            case "kill broker":
                await self.broker.kill()
                await asyncio.to_thread(self.broker.start)
            case "stop broker":
                await asyncio.to_thread(self.broker.stop)
                await asyncio.to_thread(self.broker.start)
            case "cut database connections":
                await asyncio.gather(*(way.cut() for way in self.ways_to_database))
            case "cut broker connections":
                await self.way_to_broker.cut()
            case "cut worker off":
                await _hold_up(self.ways_to_database[fault.worker], fault.seconds)
            case "stall heartbeat of worker":
                await self._stall_heartbeat(self.workers[fault.worker], fault.seconds)
            case "lose the answer to a COMMIT":
                await _lose_answer_to_commit(self.ways_to_database[fault.worker])

    async def _stall_heartbeat(self, worker: Process, seconds: float) -> None:
        """It waits for a lock on the worker's row. Everything else of the worker goes on, also when its lease has run out."""
        lock = "SELECT id FROM workers WHERE pid = %s FOR UPDATE"
        with suppress(psycopg.OperationalError):  # another fault hit the database
            async with await psycopg.AsyncConnection.connect(self.world.stage.env["DATABASE_URL"]) as connection:
                await connection.execute(lock, [worker.pid])
                await asyncio.sleep(seconds)


async def _keep_alive(start: Callable[[], Process]) -> None:
    while True:
        process = start()
        while process.is_alive:  # noqa: ASYNC110  it is another process's child: nobody tells of its end
            await asyncio.sleep(RESTART_SECONDS)


async def _terminate(worker: Process) -> None:
    worker.terminate()
    try:
        await worker.wait_for_end()
    except AssertionError as error:
        raise AssertionError(f"{error}\n{worker.tail()}") from None


async def _freeze(worker: Process, seconds: float) -> None:
    worker.freeze()
    try:
        await asyncio.sleep(seconds)
    finally:
        worker.thaw()


async def _hold_up(way: TcpProxy, seconds: float) -> None:
    """What the worker has sent already arrives afterwards."""
    way.freeze()
    try:
        await asyncio.sleep(seconds)
    finally:
        way.thaw()


async def _lose_answer_to_commit(way: TcpProxy) -> None:
    lost = way.answers_lost
    way.lose_answer_to(b"COMMIT")
    await wait_until(lambda: way.answers_lost > lost, timeout_seconds=60, what="a COMMIT")


async def _insist(client: httpx.AsyncClient, job: Job) -> str:
    """The run's id. Sent until it is accepted: the key makes all of these requests one."""
    while True:
        with suppress(httpx.TransportError):
            answer = await client.post("/runs", json=job.body, headers={"Idempotency-Key": f"job-{job.number}"})
            if answer.status_code == httpx.codes.ACCEPTED:
                return str(answer.json()["id"])
            assert answer.status_code in (409, 429, 503), answer.text
        await asyncio.sleep(RETRY_SECONDS)
