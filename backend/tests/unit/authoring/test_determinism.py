from datetime import UTC, datetime, timedelta
from typing import Any

from langgraph.checkpoint.memory import InMemorySaver
from langgraph.graph import START, StateGraph
from typing_extensions import TypedDict

from shadowgraph import now, rand
from tests.support.drives import CrashOnce, DrivenRun, drive_until_done


class State(TypedDict, total=False):
    at: datetime
    value: float


def _graph(node: Any) -> Any:
    builder = StateGraph(State)
    builder.add_node("first", lambda _: {})
    builder.add_node("n", node)
    builder.add_edge(START, "first")
    builder.add_edge("first", "n")
    return builder.compile(checkpointer=InMemorySaver())


async def test_time_is_the_same_again_after_a_crash() -> None:
    seen: list[datetime] = []
    crashes = CrashOnce("a", "b")

    def node(state: State) -> State:
        seen.append(now())
        crashes.at("a")
        crashes.at("b")
        return {"at": now()}

    result = await drive_until_done(DrivenRun(), _graph(node), {})

    assert set(seen) == {result["at"]}
    assert len(seen) == 3


async def test_time_is_about_now_and_aware() -> None:
    async def node(state: State) -> State:
        return {"at": now()}

    result = await drive_until_done(DrivenRun(), _graph(node), {})

    assert result["at"].tzinfo is UTC
    assert abs(result["at"] - datetime.now(UTC)) < timedelta(seconds=30)


async def test_time_moves_on_from_step_to_step() -> None:
    seen: list[datetime] = []

    def node(state: State) -> State:
        seen.append(now())
        return {}

    builder = StateGraph(State)
    builder.add_node("a", node)
    builder.add_node("b", node)
    builder.add_edge(START, "a")
    builder.add_edge("a", "b")
    await builder.compile().ainvoke({})

    assert seen[0] < seen[1]


def test_outside_a_graph_time_is_the_real_time() -> None:
    assert abs(now() - datetime.now(UTC)) < timedelta(seconds=5)


async def test_chance_is_the_same_again_after_a_crash() -> None:
    seen: list[float] = []
    crashes = CrashOnce("a", "b")

    async def node(state: State) -> State:
        seen.append(rand().random())
        crashes.at("a")
        crashes.at("b")
        return {"value": rand().random()}

    result = await drive_until_done(DrivenRun(), _graph(node), {})

    assert len(set(seen)) == 1
    assert result["value"] != seen[0], "each use has values of its own"


async def test_chance_does_not_disturb_the_keys_of_calls() -> None:
    run = DrivenRun()

    with run.drive() as ports:
        first = rand().random()
    with run.drive() as ports:
        assert rand().random() == first
        assert ports.generation == 1

    assert run.call_keys == []
