"""The small project that other suites run durably: what it does when nothing disturbs it."""

from pathlib import Path
from typing import Any

from shadowgraph.core.calls import LlmRequest
from shadowgraph.tools.registry import ToolRegistry
from tests.projects.shapes.graph import graph
from tests.support.ports import TestPorts, ports_in_place


def _echo(request: LlmRequest) -> str:
    return f"<{request.messages[-1]['content']}>"


async def _run(items: list[str], rounds: int) -> tuple[dict[str, Any], TestPorts]:
    ports = TestPorts(_echo, registry=ToolRegistry(), project_dir=Path())
    with ports_in_place(ports):
        result: dict[str, Any] = await graph.ainvoke({"items": items, "rounds": rounds})
    return result, ports


async def test_every_item_is_worked_on_in_every_round_in_a_fixed_order() -> None:
    result, ports = await _run(["a", "b", "c"], 2)

    found = [(finding["round"], finding["item"]) for finding in result["findings"]]
    assert found == [(1, "a"), (1, "b"), (1, "c"), (2, "a"), (2, "b"), (2, "c")]
    assert len(ports.models.requests) == 1 + 3 * 2


async def test_the_length_of_the_list_decides_the_branch() -> None:
    few, _ = await _run(["a", "b"], 1)
    many, _ = await _run(["a", "b", "c"], 1)

    assert (few["branch"], many["branch"]) == ("few", "many")


async def test_the_result_is_the_same_every_time() -> None:
    first, _ = await _run(["a", "b", "c"], 2)
    second, _ = await _run(["a", "b", "c"], 2)

    assert first == second
    assert first["report"].startswith("6 findings after 2 rounds\n1 a: <Round 1: say one thing about a>")
