"""Where a call stands in the graph decides its key; a key that changes over a crash would be paid twice."""

import asyncio
import operator
import threading
from typing import Annotated, Any

import pytest
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.graph import END, START, StateGraph
from langgraph.types import Command, RetryPolicy, Send, interrupt
from typing_extensions import TypedDict

from shadowgraph import chat_model
from shadowgraph.authoring.place import find_place, lane, next_call_id
from shadowgraph.core.calls import Place
from tests.support.drives import Crash, CrashOnce, DrivenRun, drive_until_done
from tests.support.llm import FakeProvider, says


class State(TypedDict, total=False):
    log: Annotated[list[str], operator.add]
    x: str


def _run() -> DrivenRun:
    return DrivenRun(FakeProvider(says("ok")))


def _requests(run: DrivenRun) -> int:
    assert isinstance(run.provider, FakeProvider)
    return len(run.provider.requests)


def _asking(name: str, crashes: CrashOnce, *, calls: int = 1) -> Any:
    async def node(state: State) -> State:
        for call in range(calls):
            await chat_model().ainvoke(f"{name} {call} {state.get('x', '')}")
            crashes.at(f"{name}{state.get('x', '')}/{call}")
        return {"log": [f"{name}{state.get('x', '')}"]}

    return node


def _asking_sync(name: str, crashes: CrashOnce) -> Any:
    def node(state: State) -> State:
        chat_model().invoke(name)
        crashes.at(f"{name}/0")
        return {"log": [name]}

    return node


def _chain(*nodes: tuple[str, Any], **options: Any) -> Any:
    builder = StateGraph(State)
    names = [name for name, _ in nodes]
    for name, node in nodes:
        builder.add_node(name, node, **options)
    for before, after in zip([START, *names], [*names, END], strict=True):
        builder.add_edge(before, after)
    return builder


async def test_calls_of_a_chain_keep_their_keys_over_crashes() -> None:
    run, crashes = _run(), CrashOnce("a/1", "b/0", "c/2")
    nodes = [(name, _asking(name, crashes, calls=3)) for name in "abc"]
    graph = _chain(*nodes).compile(checkpointer=InMemorySaver())

    result = await drive_until_done(run, graph, {"log": []})

    assert result["log"] == ["a", "b", "c"]
    assert len(set(run.call_keys)) == 9
    assert _requests(run) == 9, "no finished call was made again"
    assert "1//a/1//0" in run.call_keys


async def test_branches_of_a_fan_out_keep_their_keys_over_crashes() -> None:
    run, crashes = _run(), CrashOnce("w1/0", "w2/1", "a/0")
    builder = StateGraph(State)
    builder.add_node("a", _asking("a", crashes))
    builder.add_node("w", _asking("w", crashes, calls=2))
    builder.add_edge(START, "a")
    builder.add_conditional_edges("a", lambda _: [Send("w", {"x": str(i)}) for i in range(3)], ["w"])
    graph = builder.compile(checkpointer=InMemorySaver())

    result = await drive_until_done(run, graph, {"log": []})

    assert sorted(result["log"]) == ["a", "w0", "w1", "w2"]
    assert len(set(run.call_keys)) == _requests(run) == 7


async def test_a_subgraph_that_a_loop_visits_twice_has_keys_of_its_own_each_time() -> None:
    run, crashes = _run(), CrashOnce("in2/0")
    inner = _chain(("in1", _asking("in1", crashes)), ("in2", _asking("in2", crashes))).compile()
    builder = StateGraph(State)
    builder.add_node("sub", inner)
    builder.add_edge(START, "sub")
    builder.add_conditional_edges("sub", lambda state: "sub" if len(state["log"]) < 4 else END, ["sub", END])
    graph = builder.compile(checkpointer=InMemorySaver())

    result = await drive_until_done(run, graph, {"log": []})

    assert len(result["log"]) >= 4
    assert len(set(run.call_keys)) == _requests(run) == 4
    assert all("/in1/" in key or "/in2/" in key for key in run.call_keys)
    assert all(key.startswith("1/sub:") for key in run.call_keys)


async def test_a_node_that_its_own_policy_retries_finds_its_finished_calls() -> None:
    run, crashes = _run(), CrashOnce("a/1")
    policy = RetryPolicy(max_attempts=3, initial_interval=0.001, jitter=False, retry_on=Crash)
    graph = _chain(("a", _asking("a", crashes, calls=3)), retry_policy=policy).compile()

    with run.drive():
        await graph.ainvoke({"log": []})

    assert len(set(run.call_keys)) == _requests(run) == 3


async def test_calls_of_a_sync_node_keep_their_keys_over_crashes() -> None:
    run, crashes = _run(), CrashOnce("a/0", "b/0")
    graph = _chain(("a", _asking_sync("a", crashes)), ("b", _asking_sync("b", crashes))).compile(
        checkpointer=InMemorySaver()
    )

    result = await drive_until_done(run, graph, {"log": []})

    assert result["log"] == ["a", "b"]
    assert len(set(run.call_keys)) == _requests(run) == 2


async def test_a_sync_node_with_an_event_loop_of_its_own_reaches_the_run() -> None:
    run = _run()

    def node(state: State) -> State:
        return {"x": asyncio.run(chat_model().ainvoke("hello")).text}

    with run.drive():
        result = await _chain(("a", node)).compile().ainvoke({"log": []})

    assert result["x"] == "ok"
    assert run.call_keys == ["1//a/1//0"]


async def test_a_node_that_waited_for_a_person_finds_its_finished_calls() -> None:
    run = _run()

    async def node(state: State) -> State:
        await chat_model().ainvoke("before")
        answer = interrupt("go on?")
        await chat_model().ainvoke(f"after {answer}")
        return {"x": answer}

    graph = _chain(("a", node)).compile(checkpointer=InMemorySaver())
    config: Any = {"configurable": {"thread_id": "t"}}

    with run.drive():
        await graph.ainvoke({"log": []}, config)
    with run.drive():
        result = await graph.ainvoke(Command(resume="yes"), config)

    assert result["x"] == "yes"
    assert len(set(run.call_keys)) == _requests(run) == 2


async def test_a_changed_prompt_never_gets_the_old_answer() -> None:
    run, crashes = _run(), CrashOnce("changed")
    texts = iter(["old", "new"])

    async def node(state: State) -> State:
        await chat_model().ainvoke(next(texts))
        crashes.at("changed")
        return {}

    await drive_until_done(run, _chain(("a", node)).compile(checkpointer=InMemorySaver()), {"log": []})

    assert _requests(run) == 2


async def test_parallel_calls_with_keys_find_their_own_answers_whatever_their_order() -> None:
    run = _run()
    orders = iter(["abc", "cab"])
    crashes = CrashOnce("end")

    async def node(state: State) -> State:
        await asyncio.gather(*(chat_model(key=key).ainvoke("the same words") for key in next(orders)))
        crashes.at("end")
        return {}

    await drive_until_done(run, _chain(("a", node)).compile(checkpointer=InMemorySaver()), {"log": []})

    assert len(set(run.call_keys)) == _requests(run) == 3
    assert "1//a/1/~b/0" in run.call_keys


async def test_a_key_can_be_bound() -> None:
    run = _run()

    async def node(state: State) -> State:
        await chat_model().bind(call_key="left").ainvoke("hello")
        return {}

    with run.drive():
        await _chain(("a", node)).compile().ainvoke({"log": []})

    assert run.call_keys == ["1//a/1/~left/0"]


async def test_calls_outside_a_graph_get_keys_that_never_come_again() -> None:
    run = _run()

    with run.drive():
        await chat_model().ainvoke("hello")
        await chat_model().ainvoke("hello")

    assert find_place() is None
    assert len(set(run.call_keys)) == _requests(run) == 2


async def test_calls_outside_a_graph_with_a_key_can_be_replayed() -> None:
    run = _run()

    for _ in range(2):
        with run.drive():
            await chat_model(key="greeting").ainvoke("hello")

    assert _requests(run) == 1


async def test_a_bare_thread_has_no_place() -> None:
    found: list[Place | None] = []

    async def node(state: State) -> State:
        thread = threading.Thread(target=lambda: found.append(find_place()))
        thread.start()
        thread.join()
        found.append(find_place())
        return {}

    await _chain(("a", node)).compile().ainvoke({"log": []})

    assert found[0] is None
    assert found[1] is not None
    assert found[1].node == "a"


async def test_lanes_nest_and_end() -> None:
    run = _run()
    with run.drive() as ports, lane("tools"):
        first = next_call_id(ports, "h").key
        with lane("left"):
            second = next_call_id(ports, "h").key
        third = next_call_id(ports, "h").key

    assert [first, second, third] == ["1///0/~tools/0", "1///0/~tools~left/0", "1///0/~tools/1"]


@pytest.mark.parametrize("durability", ["sync", "async", "exit"])
async def test_keys_are_the_same_under_every_durability(durability: Any) -> None:
    run, crashes = _run(), CrashOnce("b/0")
    graph = _chain(("a", _asking("a", crashes)), ("b", _asking("b", crashes))).compile(checkpointer=InMemorySaver())
    config: Any = {"configurable": {"thread_id": "t"}}

    with run.drive(), pytest.raises(Crash):
        await graph.ainvoke({"log": []}, config, durability=durability)
    with run.drive():
        await graph.ainvoke(None, config, durability=durability)

    assert _requests(run) == 2
