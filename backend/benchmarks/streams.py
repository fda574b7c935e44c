"""A hundred streams at once through one process, against a hundred of a bare client; and how much later a reader sees the first token.

    python -m benchmarks.streams [--database sqlite|postgresql] [--rounds 3] [--streams 100]

The bare client is ChatGroq in a process of its own, which is what our process asks with as well. Goals: wall time at most 1.2 times the bare
client's; the first token reaches a reader of `GET /runs/{id}/events` at most 30 ms (p50) and 80 ms (p99) after the provider sent it.
"""

import asyncio
import json
import subprocess
import sys
from argparse import ArgumentParser
from collections.abc import Iterator
from contextlib import contextmanager
from time import monotonic, perf_counter, sleep, time
from typing import Any
from urllib.parse import quote

import httpx
from langchain_groq import ChatGroq
from pydantic import SecretStr

from benchmarks.figures import cpu_seconds, latencies, report, spread
from benchmarks.server import Server, up
from tests.support.processes import free_port

QUESTION = "Talk."


def main() -> None:
    parser = ArgumentParser(description=__doc__)
    parser.add_argument("--database", choices=("sqlite", "postgresql"), action="append")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--streams", type=int, default=100)
    options = parser.parse_args()
    figures: dict[str, Any] = {"streams": options.streams}
    with model_server() as model:
        for kind in options.database or ("sqlite", "postgresql"):
            with up(
                kind, "stream", WORKER_SLOTS=str(options.streams), GROQ_BASE_URL=model, GROQ_API_KEY="none"
            ) as server:
                figures[kind] = asyncio.run(_measure(server, model, options.rounds, options.streams))
    report("streams", figures)


@contextmanager
def model_server() -> Iterator[str]:
    port = free_port()
    process = subprocess.Popen([sys.executable, "-m", "benchmarks.model_server", str(port)])
    try:
        _wait_for(f"http://127.0.0.1:{port}/first-tokens")
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait(timeout=30)


def _wait_for(url: str) -> None:
    ends_at = monotonic() + 30
    while monotonic() < ends_at:
        try:
            httpx.get(url).raise_for_status()
        except httpx.TransportError:
            sleep(0.1)
        else:
            return
    raise RuntimeError(f"{url} does not answer")


async def _measure(server: Server, model: str, rounds: int, streams: int) -> dict[str, Any]:
    await _through_runs(server, model, 2)  # warm
    bare, ours, late_ms, cpu = [], [], [], []
    for _ in range(rounds):
        bare.append(await _bare(model, streams))
        began = cpu_seconds(server.pid)
        wall, late = await _through_runs(server, model, streams)
        cpu.append((cpu_seconds(server.pid) - began) * 1000 / streams)
        ours.append(wall)
        late_ms += late
    return {
        "bare_wall_s": spread(bare),
        "wall_s": spread(ours),
        "wall_ratio": spread([our / base for our, base in zip(ours, bare, strict=True)]),
        "first_token_later_ms": latencies(late_ms),
        "server_cpu_ms_per_run": spread(cpu),
    }


async def _bare(model: str, streams: int) -> float:
    client = ChatGroq(model="steady", api_key=SecretStr("none"), base_url=model, max_retries=0)

    async def read() -> None:
        async for _ in client.astream(QUESTION):
            pass

    began = perf_counter()
    await asyncio.gather(*(read() for _ in range(streams)))
    return perf_counter() - began


async def _through_runs(server: Server, model: str, streams: int) -> tuple[float, list[float]]:
    """Seconds until the last run has ended, and by how many milliseconds each reader saw the first token later than it was sent."""
    limits = httpx.Limits(max_connections=streams * 2)
    async with httpx.AsyncClient(base_url=server.http.base_url, timeout=60, limits=limits) as http:
        began = perf_counter()
        seen = dict(await asyncio.gather(*(_follow_one(http) for _ in range(streams))))
        wall = perf_counter() - began
        sent = (await http.get(f"{model}/first-tokens")).json()
    by_run = {run_id: at for run_id in seen for call, at in sent.items() if quote(run_id) in call}
    return wall, [(seen[run_id] - at) * 1000 for run_id, at in by_run.items()]


async def _follow_one(http: httpx.AsyncClient) -> tuple[str, float]:
    """A run, and when its first piece of text was seen."""
    posted = await http.post("/runs", json={"workflow": "stream", "input": {"question": QUESTION}})
    run_id = posted.raise_for_status().json()["id"]
    first, event = 0.0, ""
    async with http.stream("GET", f"/runs/{run_id}/events") as answer:
        async for line in answer.aiter_lines():
            if line.startswith("event:"):
                event = line.removeprefix("event:").strip()
            elif line.startswith("data:") and event in ("output.live", "output.delta"):
                first = first or time()
            elif line.startswith("data:") and event == "run.finished":
                _require_completed(json.loads(line.removeprefix("data:")))
                return run_id, first
    raise RuntimeError(f"{run_id}: the stream of events ended before the run")


def _require_completed(event: dict[str, Any]) -> None:
    if event["data"]["status"] != "COMPLETED":
        raise RuntimeError(f"a run did not complete: {event}")


if __name__ == "__main__":
    main()
