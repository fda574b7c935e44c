"""Models that authors bring unchanged: counted, and no more than that."""

import asyncio
import threading
from collections.abc import AsyncIterator, Callable
from typing import Any

import httpx
import pytest
from langchain_core.caches import InMemoryCache
from langchain_core.callbacks import BaseCallbackHandler
from langchain_core.messages import AIMessage
from langchain_groq import ChatGroq
from langgraph.graph import START, StateGraph
from langgraph.types import Send
from pydantic import SecretStr

from shadowgraph import chat_model
from shadowgraph.costs.ledger import sum_runs
from shadowgraph.db.engine import Database
from shadowgraph.llm.port import Target
from shadowgraph.llm.providers.groq import GroqProvider
from shadowgraph.llm.routes import only
from shadowgraph.llm.targets import Targets
from shadowgraph.runs.run import Run
from shadowgraph.runs.states import Status
from tests.support.foreign import TOKENS, AuthorsModel, Crash, Gate, Stage, open_stage
from tests.support.graphs import Graph, State, line
from tests.support.llm import USAGE, FakeProvider, says
from tests.support.offline import offline_server
from tests.support.waiting import wait_until


@pytest.fixture
async def stage(database: Database) -> AsyncIterator[Stage]:
    async with open_stage(database, FakeProvider(says("from the gateway"))) as stage:
        yield stage


async def tokens(stage: Stage, run: Run) -> tuple[int, int]:
    async with stage.database.read() as connection:
        totals = (await sum_runs(connection, [run.id]))[run.id]
    return totals.prompt_tokens, totals.completion_tokens


def node_of(ask: Callable[[AuthorsModel], Any], model: AuthorsModel) -> Graph:
    """One sync or async node that does nothing else."""

    async def asks(state: State) -> State:
        await ask(model)
        return {}

    def asks_sync(state: State) -> State:
        ask(model)
        return {}

    return line({"writer": asks if asyncio.iscoroutinefunction(ask) else asks_sync})


async def test_a_call_of_an_unchanged_model_stands_in_the_ledger(stage: Stage) -> None:
    async def ask(model: AuthorsModel) -> None:
        await model.ainvoke("hello")

    run = await stage.run(node_of(ask, AuthorsModel()))

    (call,) = await stage.calls()
    (attempt,) = await stage.attempts()
    assert run.status is Status.COMPLETED
    assert (call["status"], call["response_ref"], call["agent"]) == ("done", None, "writer")
    assert (attempt["gated"], attempt["status"], attempt["cost_nano_usd"]) == (False, "done", None)
    assert (attempt["provider"], attempt["model"], attempt["agent"]) == ("acme", "acme-1", "writer")
    assert (attempt["prompt_tokens"], attempt["completion_tokens"]) == (TOKENS["input_tokens"], TOKENS["output_tokens"])
    assert attempt["tokens_source"] == "provider"
    assert attempt["latency_ms"] >= 0
    assert await tokens(stage, run) == (20, 5)


async def test_its_events_say_that_it_was_only_metered(stage: Stage) -> None:
    async def ask(model: AuthorsModel) -> None:
        await model.ainvoke("hello")

    run = await stage.run(node_of(ask, AuthorsModel()))

    events = await stage.events(run, "call.")
    assert [event.type for event in events] == ["call.started", "call.finished"]
    for event in events:
        assert (event.payload["gated"], event.payload["node"], event.payload["kind"]) == (False, "writer", "llm")
        assert event.payload["replayable"] is False
    assert events[1].payload["prompt_tokens"] == 20


async def test_a_call_of_our_own_model_is_counted_once(stage: Stage) -> None:
    async def asks(state: State) -> State:
        await chat_model().ainvoke("hello")
        return {}

    run = await stage.run(line({"writer": asks}))

    (attempt,) = await stage.attempts()
    assert attempt["gated"] is True
    assert await tokens(stage, run) == (USAGE.prompt_tokens, USAGE.completion_tokens)


def _sync(model: AuthorsModel) -> None:
    model.invoke("a")


def _batch(model: AuthorsModel) -> None:
    model.batch(["a", "b", "c"])


async def _gather(model: AuthorsModel) -> None:
    await asyncio.gather(*(model.ainvoke(text) for text in "abc"))


async def _to_thread(model: AuthorsModel) -> None:
    await asyncio.to_thread(model.invoke, "a")


async def _own_callbacks(model: AuthorsModel) -> None:
    """They take the place of those that the graph hands down."""
    await model.ainvoke("a", {"callbacks": [BaseCallbackHandler()]})


async def _own_callbacks_on_the_model(model: AuthorsModel) -> None:
    await model.model_copy(update={"callbacks": [BaseCallbackHandler()]}).ainvoke("a")


@pytest.mark.parametrize(
    ("ask", "calls"),
    [(_sync, 1), (_batch, 3), (_gather, 3), (_to_thread, 1), (_own_callbacks, 1), (_own_callbacks_on_the_model, 1)],
)
async def test_calls_are_found_wherever_a_node_makes_them(stage: Stage, ask: Any, calls: int) -> None:
    run = await stage.run(node_of(ask, AuthorsModel()))

    attempts = await stage.attempts()
    assert len(attempts) == len(await stage.calls()) == calls
    assert {attempt["agent"] for attempt in attempts} == {"writer"}
    assert await tokens(stage, run) == (20 * calls, 5 * calls)


def _bare_thread(model: AuthorsModel) -> None:
    thread = threading.Thread(target=model.invoke, args=("a",))
    thread.start()
    thread.join()


async def test_a_bare_thread_is_counted_for_its_run_without_a_place(stage: Stage) -> None:
    run = await stage.run(node_of(_bare_thread, AuthorsModel()))

    (call,) = await stage.calls()
    assert (call["run_id"], call["agent"], call["step_key"]) == (run.id, "unknown", call["call_key"])
    assert await tokens(stage, run) == (20, 5)


async def test_calls_in_a_subgraph_and_a_fan_out_belong_to_their_nodes(stage: Stage) -> None:
    model = AuthorsModel()

    async def asks(state: State) -> State:
        await model.ainvoke("hello")
        return {}

    builder = StateGraph(State)
    builder.add_node("inner", line({"deep": asks}))
    builder.add_node("work", asks)
    builder.add_edge(START, "inner")
    builder.add_conditional_edges("inner", lambda _: [Send("work", {"text": str(i)}) for i in range(3)], ["work"])

    run = await stage.run(builder.compile())

    calls = await stage.calls()
    assert sorted(call["agent"] for call in calls) == ["deep", "work", "work", "work"]
    assert len({call["step_key"] for call in calls}) == 4
    assert await tokens(stage, run) == (80, 20)


@pytest.mark.parametrize("is_sync", [True, False])
async def test_tokens_that_nobody_reports_are_unknown_and_not_0(stage: Stage, is_sync: bool) -> None:
    def read(model: AuthorsModel) -> None:
        assert [chunk.text for chunk in model.stream("hello") if chunk.text] == ["fine"]

    async def aread(model: AuthorsModel) -> None:
        assert [chunk.text async for chunk in model.astream("hello") if chunk.text] == ["fine"]

    run = await stage.run(node_of(read if is_sync else aread, AuthorsModel()))

    (attempt,) = await stage.attempts()
    async with stage.database.read() as connection:
        assert (await sum_runs(connection, [run.id]))[run.id].unreported == 1
    assert (attempt["status"], attempt["prompt_tokens"], attempt["tokens_source"]) == ("done", None, None)
    assert attempt["ttft_ms"] is not None


async def test_the_usage_of_a_stream_counts_when_it_comes(stage: Stage) -> None:
    async def read(model: AuthorsModel) -> None:
        _ = [chunk async for chunk in model.astream("hello")]

    run = await stage.run(node_of(read, AuthorsModel(streams_usage=True)))

    assert await tokens(stage, run) == (20, 5)


async def test_a_reader_that_stops_early_leaves_a_call_in_doubt_with_an_estimate(stage: Stage) -> None:
    async def read(model: AuthorsModel) -> None:
        stream = model.astream("hello")
        await anext(stream)
        await stream.aclose()  # type: ignore[attr-defined]

    run = await stage.run(node_of(read, AuthorsModel(answers=[AIMessage("one two")])))

    (attempt,) = await stage.attempts()
    assert run.status is Status.COMPLETED
    assert (attempt["status"], attempt["tokens_source"], attempt["error_class"]) == (
        "in_doubt",
        "estimated",
        "cancelled",
    )
    assert attempt["prompt_tokens"] > 0


async def test_a_call_that_its_node_cancelled_is_in_doubt_at_the_end(stage: Stage) -> None:
    async def give_up(model: AuthorsModel) -> None:
        call = asyncio.create_task(model.ainvoke("hello"))
        await gate.is_reached.wait()
        call.cancel()
        await asyncio.wait([call])

    gate = Gate()
    await stage.run(node_of(give_up, AuthorsModel(gate=gate)))

    (attempt,) = await stage.attempts()
    (call,) = await stage.calls()
    assert (call["status"], attempt["status"], attempt["tokens_source"]) == ("in_doubt", "in_doubt", "estimated")


async def test_a_call_that_a_cancelled_run_leaves_behind_is_in_doubt(stage: Stage) -> None:
    async def ask(model: AuthorsModel) -> None:
        await model.ainvoke("hello")

    gate = Gate()
    run = await stage.run_until_cancelled(node_of(ask, AuthorsModel(gate=gate)), gate.is_reached)

    (attempt,) = await stage.attempts()
    assert run.status is Status.CANCELLED
    assert (attempt["status"], attempt["tokens_source"]) == ("in_doubt", "estimated")
    assert attempt["prompt_tokens"] > 0


async def test_a_failed_call_says_how_and_the_next_one_counts(stage: Stage) -> None:
    async def ask(model: AuthorsModel) -> None:
        with pytest.raises(KeyError):
            await model.ainvoke("hello")
        await model.ainvoke("hello")

    model = AuthorsModel(answers=[KeyError("choices"), AIMessage("fine", usage_metadata=TOKENS)])
    run = await stage.run(node_of(ask, model))

    attempts = await stage.attempts()
    assert [(attempt["status"], attempt["error_class"]) for attempt in attempts] == [
        ("failed", "KeyError"),
        ("done", None),
    ]
    assert [call["status"] for call in await stage.calls()] == ["rejected", "done"]
    assert [event.type for event in await stage.events(run, "call.")][1] == "call.failed"
    assert await tokens(stage, run) == (20, 5)


async def test_an_answer_from_langchains_cache_costs_nothing(stage: Stage) -> None:
    async def ask(model: AuthorsModel) -> None:
        await model.ainvoke("hello")
        await model.ainvoke("hello")

    model = AuthorsModel(cache=InMemoryCache())
    run = await stage.run(node_of(ask, model))

    assert model.requests == 1
    assert await tokens(stage, run) == (20, 5)


async def test_a_call_that_is_made_again_after_a_crash_counts_twice(stage: Stage) -> None:
    deaths = [Crash()]

    async def ask(model: AuthorsModel) -> None:
        await model.ainvoke("hello")
        await wait_until(lambda: _is_written(stage))
        if deaths:
            raise deaths.pop()

    model = AuthorsModel()
    graph = node_of(ask, model)
    await stage.start()
    with pytest.raises(Crash):
        await stage.drive(graph)
    await stage.give_up()

    run = await stage.drive(graph)

    assert model.requests == 2, "an unchanged model has no journal"
    assert await tokens(stage, run) == (40, 10), "and both are paid"


async def _is_written(stage: Stage) -> bool:
    return any(call["status"] == "done" for call in await stage.calls())


async def test_requests_of_real_clients_are_counted_once_each(database: Database) -> None:
    """The gateway asks through LangChain, too: its own requests must not be metered again."""
    with offline_server("") as url:
        provider = GroqProvider(SecretStr("k"), base_url=url)
        targets = Targets({"groq": provider}, routes=only(Target("groq", "openai/gpt-oss-120b")))
        client = httpx.AsyncClient()
        authors = ChatGroq(
            model="openai/gpt-oss-20b",
            api_key=SecretStr("k"),
            base_url=url,
            max_retries=0,
            http_async_client=client,
        )

        async def asks(state: State) -> State:
            await chat_model().ainvoke("hello")
            await authors.ainvoke("hello")
            return {}

        async with open_stage(database, provider, targets) as stage:
            run = await stage.run(line({"writer": asks}))
            attempts = await stage.attempts()
        await client.aclose()
        await provider.close()

    assert run.error is None
    assert [(attempt["model"], attempt["gated"], attempt["provider"]) for attempt in attempts] == [
        ("openai/gpt-oss-120b", True, "groq"),
        ("openai/gpt-oss-20b", False, "groq"),
    ]
    assert all(attempt["prompt_tokens"] > 0 for attempt in attempts)
