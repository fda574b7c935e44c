"""The whole way of a call: gateway, Groq's true client, HTTP, offline model with trouble on demand."""

from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from random import Random

import pytest
from pydantic import SecretStr

from shadowgraph.core.clock import ManualClock
from shadowgraph.llm.errors import RateLimited
from shadowgraph.llm.gateway import Gateway
from shadowgraph.llm.port import Target
from shadowgraph.llm.providers.groq import GroqProvider
from shadowgraph.llm.routes import only
from shadowgraph.llm.targets import Targets
from tests.support.llm import RUN_ID, MemoryLlmJournal, RecordingSink, ask, call_of
from tests.support.offline import offline_server

MakeGateway = Callable[[str], Gateway]


@pytest.fixture
async def make_gateway() -> AsyncIterator[MakeGateway]:
    """Takes the offline model's knobs. Waits take no time."""
    async with AsyncExitStack() as stack:

        def make(knobs: str) -> Gateway:
            provider = GroqProvider(SecretStr("k"), base_url=stack.enter_context(offline_server(knobs)))
            stack.push_async_callback(provider.close)
            clock = ManualClock()

            async def wait(seconds: float) -> None:
                clock.advance(seconds)

            targets = Targets({"groq": provider}, routes=only(Target("groq", "openai/gpt-oss-120b")))
            return Gateway(targets, clock=clock, rng=Random(1), sleep=wait)

        yield make


async def test_a_cut_stream_comes_back_as_the_same_answer(make_gateway: MakeGateway) -> None:
    request = ask("Write a haiku about queues")
    smooth, journal = MemoryLlmJournal(), MemoryLlmJournal()
    expected = await make_gateway("").call(request, call_of(request), journal=smooth, run_id=RUN_ID)
    sink = RecordingSink()

    completion = await make_gateway("fail_first=2&cut_stream_after=2").call(
        request, call_of(request), journal=journal, run_id=RUN_ID, on_delta=sink
    )

    assert completion.text == expected.text
    assert journal.log == ["find", "start 1", "retry 1->2 broken_stream", "retry 2->3 broken_stream", "finish 3"]
    assert "".join(sink.pieces).rsplit("!", maxsplit=1)[-1] or sink.pieces.count("!") == 2
    assert completion.usage.source == "provider"


async def test_a_rate_limit_of_the_server_is_waited_out(make_gateway: MakeGateway) -> None:
    request, journal = ask(), MemoryLlmJournal()

    await make_gateway("fail_first=1&fail=429:retry_after=3").call(
        request, call_of(request), journal=journal, run_id=RUN_ID
    )

    assert journal.log == ["find", "start 1", "retry 1->2 rate_limited", "finish 2"]
    assert 3 <= journal.waits[0] < 4


async def test_a_long_rate_limit_of_the_server_ends_the_call(make_gateway: MakeGateway) -> None:
    request, journal = ask(), MemoryLlmJournal()

    with pytest.raises(RateLimited) as caught:
        await make_gateway("fail=429:retry_after=600").call(request, call_of(request), journal=journal, run_id=RUN_ID)

    assert caught.value.retry_after == 600
    assert journal.log == ["find", "start 1", "reject 1 rate_limited"]
