"""Wherever a node makes three calls side by side: a crash in the middle repeats those that were in flight, and no finished one."""

import asyncio
import threading
from collections import Counter
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from functools import partial
from operator import itemgetter
from typing import Any

import pytest
from langchain_core.runnables import RunnableParallel
from langgraph.graph import START, StateGraph
from langgraph.types import Send

from shadowgraph import chat_model
from shadowgraph.core.calls import LlmRequest
from shadowgraph.costs.ledger import sum_runs
from shadowgraph.db.engine import Database
from shadowgraph.llm.port import Chunk, Target
from shadowgraph.runs.states import Status
from tests.support.foreign import Stage, open_stage
from tests.support.graphs import Graph, State, line
from tests.support.llm import USAGE


class Provider:
    """Answers `a` once all three are under way, and the others only when they come again."""

    def __init__(self) -> None:
        self.asked: Counter[str] = Counter()
        self._all_are_there = asyncio.Event()

    def current_name(self, model: str) -> str:
        return model

    async def stream(
        self, request: LlmRequest, target: Target, *, headers: Mapping[str, str]
    ) -> AsyncGenerator[Chunk, None]:
        text = str(request.messages[-1]["content"])
        self.asked[text] += 1
        if len(self.asked) == 3:
            self._all_are_there.set()
        await self._all_are_there.wait()
        if text != "a" and self.asked[text] == 1:
            await asyncio.Event().wait()
        yield Chunk(text=f"answer {text}")
        yield Chunk(finish_reason="stop", usage=USAGE, model="fake-1")


@pytest.fixture
def provider() -> Provider:
    return Provider()


@pytest.fixture
async def stage(database: Database, provider: Provider) -> AsyncIterator[Stage]:
    async with open_stage(database, provider) as stage:
        yield stage


# --- ways to make three calls -----------------------------------------------------------------------------------------------------


async def gather(state: State) -> State:
    """In issue order, which is the same each time."""
    return _log(await asyncio.gather(*(chat_model().ainvoke(text) for text in "abc")))


async def gather_with_keys(state: State) -> State:
    return _log(await asyncio.gather(*(chat_model(key=text).ainvoke(text) for text in "abc")))


async def gather_in_another_order(state: State) -> State:
    order = "abc" if not _seen else "cba"
    _seen.append(order)
    return _log(await asyncio.gather(*(chat_model().ainvoke(text) for text in order)))


_seen: list[str] = []


async def abatch(state: State) -> State:
    return _log(await chat_model().abatch(list("abc")))


def batch(state: State) -> State:
    return _log(chat_model().batch(list("abc")))


def branches(state: State) -> State:
    """LangChain runs them in threads."""
    parallel = RunnableParallel({text: itemgetter(text) | chat_model() for text in "abc"})
    return _log(parallel.invoke({text: text for text in "abc"}).values())


async def executor(state: State) -> State:
    """Without `copy_context`: the thread has lost its place in the graph, but not its run."""
    loop = asyncio.get_running_loop()
    pool = ThreadPoolExecutor(3)
    try:
        work = [loop.run_in_executor(pool, chat_model(key=text).invoke, text) for text in "abc"]
        return _log(await asyncio.gather(*work))
    finally:
        pool.shutdown(wait=False)


async def executor_with_context(state: State) -> State:
    loop = asyncio.get_running_loop()
    pool = ThreadPoolExecutor(3)
    try:
        work = [loop.run_in_executor(pool, copy_context().run, chat_model().invoke, text) for text in "abc"]
        return _log(await asyncio.gather(*work))
    finally:
        pool.shutdown(wait=False)


def bare_threads_with_keys(state: State) -> State:
    answers: list[Any] = []

    def ask(text: str) -> None:
        answers.append(chat_model("thread", key=text).invoke(text))

    threads = [threading.Thread(target=_quietly(ask), args=(text,)) for text in "abc"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if len(answers) < 3:
        raise RuntimeError("the claim is over")
    return _log(answers)


def _quietly(work: Callable[[str], None]) -> Callable[[str], None]:
    """A thread whose run is cut says so on stderr, which is not what this is about."""

    def run(text: str) -> None:
        try:
            work(text)
        except BaseException:  # noqa: BLE001
            return

    return run


async def _one(state: State) -> State:
    return _log([await chat_model().ainvoke(state["text"])])


def fan_out() -> Graph:
    builder = StateGraph(State)
    builder.add_node("work", _one)
    builder.add_conditional_edges(START, lambda _: [Send("work", {"text": text}) for text in "abc"], ["work"])
    return builder.compile()


def subgraph() -> Graph:
    return line({"outer": line({"inner": gather})})


def _log(answers: Any) -> State:
    return {"log": sorted(answer.text for answer in answers)}


NODES = (
    gather,
    gather_with_keys,
    gather_in_another_order,
    abatch,
    batch,
    branches,
    executor,
    executor_with_context,
    bare_threads_with_keys,
)
GRAPHS: dict[str, Callable[[], Graph]] = {
    **{node.__name__: partial(line, {"writer": node}) for node in NODES},
    "subgraph": subgraph,
    "fan_out": fan_out,
}


@pytest.mark.parametrize("kind", GRAPHS)
async def test_a_crash_repeats_only_the_calls_in_flight(stage: Stage, provider: Provider, kind: str) -> None:
    _seen.clear()

    run = await stage.run_over_a_takeover(GRAPHS[kind](), "engine.journal.finished")

    assert run.error is None
    assert run.status is Status.COMPLETED
    assert provider.asked == {"a": 1, "b": 2, "c": 2}
    attempts = await stage.attempts()
    assert sorted(attempt["status"] for attempt in attempts) == ["done", "done", "done", "in_doubt", "in_doubt"]
    assert all(attempt["gated"] for attempt in attempts)
    async with stage.database.read() as connection:
        totals = (await sum_runs(connection, [run.id]))[run.id]
    assert totals.completion_tokens == 3 * USAGE.completion_tokens, "each answer is counted once"
