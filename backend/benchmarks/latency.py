"""What the benchmarks of single runs share: a run watched from its POST to its end."""

import asyncio
import json
from dataclasses import dataclass
from time import perf_counter
from typing import Any

import httpx

from benchmarks.workload import WORKFLOW


@dataclass(frozen=True, slots=True)
class Watched:
    """Milliseconds from the moment at which the POST was due."""

    posted_ms: float
    first_node_ms: float
    completed_ms: float


async def post_run(http: httpx.AsyncClient, seconds: float) -> str:
    """The run's id."""
    answer = await http.post("/runs", json={"workflow": WORKFLOW, "input": {"seconds": seconds}})
    return str(answer.raise_for_status().json()["id"])


async def watch_run(http: httpx.AsyncClient, *, seconds: float = 0, due: float | None = None) -> Watched:
    """Errors: `RuntimeError` unless it COMPLETED."""
    began = perf_counter() if due is None else due
    run_id = await post_run(http, seconds)
    posted, first = perf_counter(), 0.0
    async with http.stream("GET", f"/runs/{run_id}/events") as answer:
        event = ""
        async for line in answer.aiter_lines():
            if line.startswith("event:"):
                event = line.removeprefix("event:").strip()
                first = first or (perf_counter() if event == "step.started" else 0.0)
            elif line.startswith("data:") and event == "run.finished":
                _require_completed(json.loads(line.removeprefix("data:")))
                return Watched(*((moment - began) * 1000 for moment in (posted, first, perf_counter())))
    raise RuntimeError(f"{run_id}: the stream of events ended before the run")


def _require_completed(event: dict[str, Any]) -> None:
    if event["data"]["status"] != "COMPLETED":
        raise RuntimeError(f"a run did not complete: {event}")


async def at_rate(http: httpx.AsyncClient, *, per_second: float, count: int) -> list[float]:
    """An open loop: how long each POST took, in milliseconds since it was due, however late the ones before it are."""
    began = perf_counter()

    async def post(n: int) -> float:
        due = began + n / per_second
        await asyncio.sleep(max(0.0, due - perf_counter()))
        await post_run(http, 0)
        return (perf_counter() - due) * 1000

    return list(await asyncio.gather(*(post(n) for n in range(count))))
