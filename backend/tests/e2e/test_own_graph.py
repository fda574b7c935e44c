"""Graphs of one's own, served beside the pipeline: as `docs/ADDING_A_NODE.md` shows it, and as `shadowgraph new` writes it."""

from contextlib import suppress
from pathlib import Path
from typing import Any

import httpx

from shadowgraph.cli.new import write_project
from tests.support.pages import DOCS, named_blocks, write_blocks
from tests.support.processes import Zygote, free_port, stage
from tests.support.waiting import wait_until

PAGE = "ADDING_A_NODE.md"


async def run_once(zygote: Zygote, folder: Path, *, name: str, value: dict[str, Any]) -> dict[str, Any]:
    """`up --project NAME` in a folder that has it; the run of its workflow, which is called the same."""
    port = free_port()
    with stage(zygote, folder, PORT=str(port)) as prepared:
        process = prepared.start("up", "--project", name)
        async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", timeout=70) as client:

            async def is_loaded() -> bool:
                assert process.is_alive, process.tail()
                with suppress(httpx.TransportError):
                    return (await client.get(f"/workflows/{name}")).is_success
                return False

            await wait_until(is_loaded, timeout_seconds=60, what=f"{name} to be served")
            run: dict[str, Any] = (await client.post("/runs?wait=60", json={"workflow": name, "input": value})).json()
    assert run["status"] == "COMPLETED", run
    return run


async def test_a_project_is_served_as_shown(zygote: Zygote, tmp_path: Path) -> None:
    write_blocks(tmp_path / "greeter", named_blocks(PAGE, "## A graph of its own"))
    assert "./shadowgraph up --project greeter\n" in (DOCS / PAGE).read_text()

    run = await run_once(zygote, tmp_path, name="greeter", value={"name": "Ada"})

    assert run["result"]["output"]["name"] == "Ada"
    assert run["result"]["output"]["greeting"]


async def test_a_new_project_is_served_as_it_was_written(zygote: Zygote, tmp_path: Path) -> None:
    write_project(tmp_path / "briefing", "briefing")

    run = await run_once(zygote, tmp_path, name="briefing", value={"topic": "tea"})

    output = run["result"]["output"]
    assert output["words"] == len(output["text"].split()) > 0
    assert run["usage"]["completion_tokens"] > 0
    assert run["deadline_at"] is not None
