import asyncio
from typing import Any

import pytest
from langgraph.graph import START, StateGraph
from typing_extensions import TypedDict

from shadowgraph import artifact
from tests.support.drives import DrivenRun


class State(TypedDict, total=False):
    done: bool


@pytest.mark.parametrize(
    ("path", "body", "media_type", "stored"),
    [
        ("src/main.py", "print()", None, (b"print()", "text/x-python")),
        ("notes", "a\x00b", None, (b"ab", "text/plain")),
        ("picture.png", b"\x89PNG\x00", None, (b"\x89PNG\x00", "image/png")),
        ("data", b"\x00", None, (b"\x00", "application/octet-stream")),
        ("data", b"{}", "application/json", (b"{}", "application/json")),
    ],
)
async def test_a_file_goes_to_the_run(
    path: str, body: bytes | str, media_type: str | None, stored: tuple[bytes, str]
) -> None:
    run = DrivenRun()

    with run.drive():
        artifact(path, body, media_type)

    assert run.artifacts[path][:2] == stored


@pytest.mark.parametrize("is_sync", [True, False])
async def test_a_file_knows_the_node_that_wrote_it(is_sync: bool) -> None:
    run = DrivenRun()

    def write(state: State) -> State:
        artifact("a.txt", "text")
        return {"done": True}

    async def write_async(state: State) -> State:
        return await asyncio.to_thread(write, state)

    node: Any = write if is_sync else write_async
    builder = StateGraph(State)
    builder.add_node("writer", node)
    builder.add_edge(START, "writer")
    with run.drive():
        await builder.compile().ainvoke({})

    place = run.artifacts["a.txt"][2]
    assert place is not None
    assert place.node == "writer"
