import asyncio
import logging
from random import Random
from typing import Any

import pytest

from shadowgraph.core import failpoints
from shadowgraph.core.calls import AttemptEnd, CallId, Completion, FallBack, Hold, Usage, Wish
from shadowgraph.core.clock import ManualClock
from shadowgraph.llm.answer import MAX_ANSWER_CHARACTERS
from shadowgraph.llm.attempt import TimeLimits
from shadowgraph.llm.errors import (
    AnswerRefused,
    BadCredentials,
    BrokenStream,
    CircuitOpen,
    Overloaded,
    ProviderError,
    QuotaUsedUp,
    RateLimited,
    TimedOut,
    ToolUseFailed,
)
from shadowgraph.llm.gateway import Gateway
from shadowgraph.llm.offline.calls import CALL_HEADER, parse_call_header
from shadowgraph.llm.port import IDEMPOTENCY_HEADER, Chunk, Target
from shadowgraph.llm.retry import MAX_ATTEMPTS
from shadowgraph.llm.routes import BadModelName, FixedRoutes, Route, RouteTarget, only
from shadowgraph.llm.sanitise import MAX_REQUEST_BYTES, RequestTooLarge
from shadowgraph.llm.targets import MixedModels, NoProvider, StandIn, Targets
from shadowgraph.reliability.breaker import OPEN_SECONDS
from tests.support.llm import (
    RUN_ID,
    USAGE,
    Bench,
    FakeProvider,
    Forever,
    MemoryLlmJournal,
    RecordingSink,
    answers_status,
    ask,
    breaks,
    call_of,
    calls_tool,
    says,
)


async def test_an_answer_is_put_together_from_its_pieces() -> None:
    bench = Bench(says("Hello ", "world"))

    completion = await bench.ask()

    assert completion == Completion("Hello world", model="fake-1", provider="fake", usage=USAGE)
    assert bench.journal.log == ["find", "start 1", "finish 1"]
    assert bench.journal.agents == {"coder"}


async def test_a_tool_call_is_put_together_from_its_pieces() -> None:
    bench = Bench(calls_tool("search", '{"query": "cats"}'))

    completion = await bench.ask()

    assert [(call.id, call.name, call.arguments) for call in completion.tool_calls] == [
        ("call_1", "search", {"query": "cats"})
    ]
    assert completion.finish_reason == "tool_calls"


async def test_a_recorded_answer_is_given_again_without_asking_anybody() -> None:
    bench = Bench(says("first"), says("second"))
    first = await bench.ask()

    again = await bench.ask()

    assert again == first
    assert len(bench.provider.requests) == 1
    assert bench.journal.log == ["find", "start 1", "finish 1", "find"]


async def test_the_answer_is_recorded_before_it_is_used() -> None:
    bench = Bench(says("paid"))
    order = bench.journal.log
    failpoints.switch_on("llm.attempt.started:coder", lambda: order.append("sent"))
    failpoints.switch_on("llm.answer.received:coder", lambda: order.append("received"))
    failpoints.switch_on("llm.answer.recorded:coder", lambda: order.append("recorded"))

    await bench.ask()
    order.append("used")

    assert order == ["find", "start 1", "sent", "received", "finish 1", "recorded", "used"]


async def test_an_answer_that_cannot_be_recorded_is_not_used() -> None:
    class FullDisk(MemoryLlmJournal):
        async def finish(self, call: CallId, *, agent: str, ended: AttemptEnd, answer: bytes) -> None:
            raise OSError("no space left on device")

    bench = Bench(says("paid"), journal=FullDisk())

    with pytest.raises(OSError, match="no space left"):
        await bench.ask()

    assert len(bench.provider.requests) == 1


async def test_a_rate_limit_is_waited_out_for_as_long_as_the_provider_says() -> None:
    bench = Bench(answers_status(429, retry_after="7"), says("at last"))

    completion = await bench.ask()

    assert completion.text == "at last"
    assert len(bench.waited) == 1
    assert 7 <= bench.waited[0] < 8
    assert bench.journal.log == ["find", "start 1", "retry 1->2 rate_limited", "finish 2"]
    assert bench.journal.waits == pytest.approx(bench.waited)
    assert bench.journal.ends[0].usage is None, "nothing was billed"


async def test_a_long_rate_limit_ends_the_call_at_once_and_says_when_to_come_back() -> None:
    bench = Bench(answers_status(429, retry_after="120"))

    with pytest.raises(RateLimited) as caught:
        await bench.ask()

    assert caught.value.retry_after == 120
    assert caught.value.retryable
    assert bench.waited == []
    assert bench.journal.log == ["find", "start 1", "reject 1 rate_limited"]


async def test_server_errors_are_waited_out_with_growing_patience() -> None:
    bench = Bench(answers_status(503), answers_status(500), says("up again"))

    completion = await bench.ask()

    assert completion.text == "up again"
    assert bench.journal.log == ["find", "start 1", "retry 1->2 server_error", "retry 2->3 server_error", "finish 3"]
    assert 0 <= bench.waited[0] <= 0.5
    assert 0 <= bench.waited[1] <= 1.0


async def test_a_provider_that_stays_down_opens_its_breaker_with_the_last_attempt() -> None:
    bench = Bench(answers_status(503))

    with pytest.raises(CircuitOpen) as caught:
        await bench.ask()

    assert len(bench.provider.requests) == MAX_ATTEMPTS
    assert bench.journal.log[-1] == f"reject {MAX_ATTEMPTS} server_error"
    assert isinstance(caught.value.__cause__, Overloaded)
    assert caught.value.retryable
    assert caught.value.retry_after == OPEN_SECONDS, "the run waits for so long, and no longer"
    assert caught.value.facts["attempts"] == MAX_ATTEMPTS
    assert caught.value.facts["provider"] == "fake"


async def test_attempts_are_numbered_over_all_workers_that_tried_the_call() -> None:
    bench = Bench(answers_status(429, retry_after="120"), says("later"))
    with pytest.raises(RateLimited):
        await bench.ask()
    bench.clock.advance(120)

    await bench.ask()

    assert [start.n for start in bench.journal.starts] == [1, 2]
    assert bench.journal.log[-2:] == ["start 2", "finish 2"]


async def test_a_broken_stream_is_made_again_as_a_whole() -> None:
    bench = Bench([Chunk(text="Hel"), breaks()], says("Hello ", "world"))
    sink = RecordingSink()

    completion = await bench.ask(sink=sink)

    assert completion.text == "Hello world"
    assert sink.pieces == ["Hel", "!", "Hello ", "world"]
    assert bench.journal.log == ["find", "start 1", "retry 1->2 broken_stream", "finish 2"]
    lost = bench.journal.ends[0].usage
    assert lost == Usage(prompt_tokens=6, completion_tokens=1, source="estimated"), "what was streamed is billed"


async def test_a_stream_that_ends_without_a_finish_reason_counts_as_broken() -> None:
    bench = Bench([Chunk(text="Half an ans")], says("A whole answer"))

    completion = await bench.ask()

    assert completion.text == "A whole answer"
    assert bench.journal.ends[0].error_class == "broken_stream"


async def test_a_refused_request_is_not_made_again() -> None:
    bench = Bench(answers_status(401, {"error": {"message": "Invalid API Key", "code": "invalid_api_key"}}))

    with pytest.raises(BadCredentials, match="Invalid API Key") as caught:
        await bench.ask()

    assert not caught.value.retryable
    assert bench.journal.log == ["find", "start 1", "reject 1 auth"]
    assert bench.journal.errors == ["Invalid API Key"]


async def test_a_rejected_call_is_asked_again_by_the_next_try_of_the_run() -> None:
    bench = Bench(answers_status(402), says("account filled up"))
    with pytest.raises(QuotaUsedUp):
        await bench.ask()

    completion = await bench.ask()

    assert completion.text == "account filled up"


async def test_a_cancelled_call_is_cut_with_an_estimate_of_what_was_written() -> None:
    bench = Bench([Chunk(text="twelve chars"), Forever()])
    task = asyncio.create_task(bench.ask())
    await bench.provider.is_silent.wait()

    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task

    assert bench.journal.log == ["find", "start 1", "cut 1 cancelled"]
    assert bench.journal.ends[0].usage == Usage(6, 3, source="estimated")
    assert bench.provider.closed == 1


async def test_a_cancellation_goes_on_when_the_journal_cannot_be_written() -> None:
    class LostLease(MemoryLlmJournal):
        async def cut(self, call: CallId, *, agent: str, ended: AttemptEnd) -> None:
            raise ConnectionError

    bench = Bench([Forever()], journal=LostLease())
    task = asyncio.create_task(bench.ask())
    await bench.provider.is_silent.wait()

    task.cancel()

    with pytest.raises(asyncio.CancelledError):
        await task


async def test_a_call_that_is_cancelled_while_it_waits_is_not_in_doubt() -> None:
    is_waiting = asyncio.Event()

    async def wait_for_ever(_seconds: float) -> None:
        is_waiting.set()
        await asyncio.Event().wait()

    bench = Bench(answers_status(429, retry_after="20"), sleep=wait_for_ever)
    task = asyncio.create_task(bench.ask())
    await is_waiting.wait()

    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task

    assert bench.journal.log == ["find", "start 1", "reject 1 rate_limited"]


async def test_a_paid_answer_is_recorded_even_when_the_caller_is_cancelled_meanwhile() -> None:
    class SlowJournal(MemoryLlmJournal):
        is_writing = asyncio.Event()
        may_write = asyncio.Event()

        async def finish(self, call: CallId, *, agent: str, ended: AttemptEnd, answer: bytes) -> None:
            self.is_writing.set()
            await self.may_write.wait()
            await super().finish(call, agent=agent, ended=ended, answer=answer)

    journal = SlowJournal()
    bench = Bench(says("paid"), journal=journal)
    task = asyncio.create_task(bench.ask())
    await journal.is_writing.wait()

    task.cancel()
    journal.may_write.set()
    with pytest.raises(asyncio.CancelledError):
        await task
    again = await bench.ask()

    assert again.text == "paid"
    assert len(bench.provider.requests) == 1


async def test_a_model_that_says_nothing_is_given_up_after_the_first_token_limit() -> None:
    bench = Bench([Forever()], says("here"), limits=TimeLimits(first_token_seconds=0.02))

    completion = await bench.ask()

    assert completion.text == "here"
    assert bench.journal.ends[0].error_class == "timeout"
    assert bench.journal.ends[0].usage == Usage(6, 0, source="estimated")


async def test_an_answer_that_never_ends_is_given_up_after_the_total_limit() -> None:
    limits = TimeLimits(first_token_seconds=0.02, total_seconds=0.06)
    bench = Bench([Chunk(text="and"), Forever()], limits=limits)

    with pytest.raises(CircuitOpen) as caught:
        await bench.ask()

    assert isinstance(caught.value.__cause__, TimedOut)

    assert len(bench.provider.requests) == MAX_ATTEMPTS
    assert bench.provider.closed == MAX_ATTEMPTS, "no connection is left open"


async def test_missing_usage_is_estimated_and_says_so() -> None:
    bench = Bench(says("four words are here", usage=None))

    completion = await bench.ask()

    assert completion.usage == Usage(prompt_tokens=6, completion_tokens=5, source="estimated")
    assert bench.journal.ends[0].usage == completion.usage


async def test_each_attempt_is_estimated_by_what_it_sent() -> None:
    bench = Bench(says("three", usage=None), says("4", usage=None))
    request = ask()

    await bench.models.call(request, call_of(request), check=lambda answer: None if answer.text == "4" else "no digit")

    first, second = (ended.usage for ended in bench.journal.ends)
    assert first == Usage(6, 2, source="estimated")
    assert second is not None
    assert second.prompt_tokens == bench.journal.starts[1].estimated_prompt_tokens > 6, (
        "with the reason for its refusal"
    )


async def test_a_prompt_of_zero_tokens_is_estimated() -> None:
    bench = Bench(says("answer", usage=Usage(0, 3)))

    completion = await bench.ask()

    assert completion.usage == Usage(6, 3, source="estimated")


async def test_usage_that_comes_in_two_pieces_is_added_up() -> None:
    bench = Bench([Chunk(usage=Usage(9, 0)), Chunk(text="x", usage=Usage(0, 4), finish_reason="stop")])

    completion = await bench.ask()

    assert completion.usage == Usage(9, 4)


async def test_what_a_model_writes_is_cleaned_before_it_is_recorded_or_shown() -> None:
    bench = Bench(says("a\x00b\x1b[31m", "\ud83d", "\ude00 \ud800!"))
    sink = RecordingSink()

    completion = await bench.ask(sink=sink)

    assert completion.text == "ab[31m\N{GRINNING FACE} \ufffd!"
    assert "".join(sink.pieces) == completion.text
    assert completion.to_json()


async def test_tool_arguments_are_cleaned() -> None:
    bench = Bench(calls_tool("save", r'{"text": "a\u0000\ud800", "score": NaN}'))

    completion = await bench.ask()

    assert completion.tool_calls[0].arguments == {"text": "a\ufffd", "score": None}


async def test_what_goes_to_a_model_is_cleaned() -> None:
    bench = Bench(says("ok"))
    request = ask("a\x00b")

    await bench.models.call(request, call_of(ask("ab")))

    assert bench.provider.requests[0].messages == [{"role": "user", "content": "ab"}]


async def test_a_huge_request_is_refused_before_anything_is_started() -> None:
    bench = Bench(says("ok"))

    with pytest.raises(RequestTooLarge, match="coder"):
        await bench.ask(ask("x" * MAX_REQUEST_BYTES))

    assert bench.journal.log == []


async def test_an_endless_answer_is_cut_off_and_says_so() -> None:
    bench = Bench([Chunk(text="x" * (MAX_ANSWER_CHARACTERS - 1)), Chunk(text="abc"), Forever()])

    completion = await bench.ask()

    assert (completion.text[-2:], len(completion.text)) == ("xa", MAX_ANSWER_CHARACTERS)
    assert completion.finish_reason == "length"
    assert bench.provider.closed == 1


async def test_arguments_that_are_no_json_are_refused_and_asked_for_once_more() -> None:
    bench = Bench(calls_tool("save", '{"text": "unfini'), calls_tool("save", '{"text": "whole"}'))

    completion = await bench.ask()

    assert completion.tool_calls[0].arguments == {"text": "whole"}
    assert bench.waited == [0.0]
    feedback = bench.provider.requests[1].messages[-1]
    assert feedback["role"] == "user"
    assert "no JSON" in str(feedback["content"])
    refused = bench.journal.ends[0]
    assert (refused.error_class, refused.usage) == ("answer_refused", USAGE), "a refused answer was paid for"


async def test_an_answer_that_its_check_refuses_twice_is_never_recorded() -> None:
    bench = Bench(says("three"), says("four"), says("5"))
    request = ask()

    with pytest.raises(AnswerRefused, match="not a digit: four"):
        await bench.models.call(
            request,
            call_of(request),
            check=lambda answer: None if answer.text.isdigit() else f"not a digit: {answer.text}",
        )

    assert bench.journal.log == ["find", "start 1", "retry 1->2 answer_refused", "reject 2 answer_refused"]
    assert (await bench.ask()).text == "5"


async def test_a_check_that_fails_itself_closes_the_call_and_is_not_paid_again() -> None:
    bench = Bench(says("three"))
    request = ask()

    with pytest.raises(AnswerRefused, match="TypeError") as caught:
        await bench.models.call(request, call_of(request), check=lambda answer: str(len(5)))  # type: ignore[arg-type]

    assert isinstance(caught.value.__cause__, TypeError)
    assert bench.journal.log == ["find", "start 1", "reject 1 answer_refused"]
    assert bench.journal.ends[0].usage == USAGE


async def test_a_refused_answer_is_taken_back_from_those_who_watched_it() -> None:
    bench = Bench(says("no"), says("yes"))
    request, sink = ask(), RecordingSink()

    await bench.models.call(
        request, call_of(request), sink, check=lambda answer: "say yes" if answer.text == "no" else None
    )

    assert sink.pieces == ["no", "!", "yes"]


async def test_a_failed_tool_use_is_told_to_the_model_once() -> None:
    failed = answers_status(400, {"error": {"message": "Failed to call a function", "code": "tool_use_failed"}})
    bench = Bench(failed)

    with pytest.raises(ToolUseFailed):
        await bench.ask()

    assert len(bench.provider.requests) == 2
    assert "Failed to call a function" in str(bench.provider.requests[1].messages[-1]["content"])


@pytest.mark.parametrize(
    "shape",
    [
        {"output_schema": {"type": "object"}},
        {"tool_choice": "required"},
        {"tool_choice": {"type": "function", "function": {"name": "save"}}},
    ],
)
async def test_answers_that_are_forced_into_a_shape_are_not_shown_live(shape: dict[str, Any]) -> None:
    bench = Bench(says("raw"))
    sink = RecordingSink()

    await bench.ask(ask(**shape), sink)

    assert sink.pieces == []


async def test_an_answer_is_not_lost_when_nobody_can_be_shown_it(caplog: pytest.LogCaptureFixture) -> None:
    class BrokenSink(RecordingSink):
        async def __call__(self, text: str) -> None:
            raise ConnectionError("nobody listens")

    bench = Bench(says("one ", "two"))

    with caplog.at_level(logging.WARNING):
        completion = await bench.ask(sink=BrokenSink())

    assert completion.text == "one two"
    assert len(caplog.records) == 1


async def test_a_recorded_answer_is_not_shown_live_again() -> None:
    bench = Bench(says("seen"))
    await bench.ask()
    sink = RecordingSink()

    await bench.ask(sink=sink)

    assert sink.pieces == []


async def test_each_attempt_names_its_call() -> None:
    bench = Bench(answers_status(500), says("ok"))

    await bench.ask()

    headers = bench.provider.headers
    assert {header[IDEMPOTENCY_HEADER] for header in headers} == {f"{RUN_ID}:1//coder/3//0"}
    places = [parse_call_header(header[CALL_HEADER]) for header in headers]
    assert [(place.run_id, place.call_key, place.attempt) for place in places if place] == [
        (RUN_ID, "1//coder/3//0", 1),
        (RUN_ID, "1//coder/3//0", 2),
    ]


async def test_headers_can_carry_any_name_of_a_node() -> None:
    bench = Bench(says("ok"))
    request = ask()

    await bench.models.call(request, CallId("1//Prüfung\n2/3//0", request.request_hash()))

    assert all(value.isascii() and value.isprintable() for value in bench.provider.headers[0].values())


async def test_an_explicit_model_is_asked_under_its_current_name() -> None:
    bench = Bench(says("ok"))

    await bench.ask(ask(model="fake:old-large"))

    assert (bench.journal.starts[0].provider, bench.journal.starts[0].model) == ("fake", "large")
    assert str(bench.provider.targets[0]) == "fake:large"


async def test_a_provider_that_is_not_set_up_is_named() -> None:
    bench = Bench(says("ok"))

    with pytest.raises(NoProvider, match="'groq' is not set up") as caught:
        await bench.ask(ask(model="groq:openai/gpt-oss-120b"))

    assert caught.value.facts["model"] == "groq:openai/gpt-oss-120b"


async def test_a_model_without_a_provider_is_refused() -> None:
    with pytest.raises(BadModelName, match="provider:model"):
        await Bench(says("ok")).ask(ask(model="gpt-5"))


async def test_timing_is_measured_with_the_clock() -> None:
    bench = Bench(says("ok"))
    failpoints.switch_on("llm.attempt.started", lambda: bench.clock.advance(0.25))

    await bench.ask()

    ended = bench.journal.ends[0]
    assert (ended.ttft_ms, ended.latency_ms) == (250, 250)


async def test_an_unknown_failure_of_an_adapter_is_recorded_and_not_repeated() -> None:
    bench = Bench([KeyError("choices")])

    with pytest.raises(ProviderError) as caught:
        await bench.ask()

    assert isinstance(caught.value.__cause__, KeyError)
    assert bench.journal.log == ["find", "start 1", "reject 1 unknown"]


async def test_the_bound_models_come_back_to_the_loop_of_their_journal() -> None:
    bench = Bench([Chunk(text="Hel"), breaks()], says("Hello"))
    home = asyncio.get_running_loop()
    loops: list[asyncio.AbstractEventLoop] = []
    failpoints.switch_on("llm.attempt.started", lambda: loops.append(asyncio.get_running_loop()))
    models = bench.gateway.bind(journal=bench.journal, run_id=RUN_ID, loop=home)
    request = ask()

    completion = await asyncio.to_thread(asyncio.run, models.call(request, call_of(request)))

    assert completion.text == "Hello"
    assert loops == [home]


async def test_a_broken_stream_that_stays_broken_ends_the_call() -> None:
    bench = Bench([Chunk(text="a"), breaks()])

    with pytest.raises(CircuitOpen) as caught:
        await bench.ask()

    assert isinstance(caught.value.__cause__, BrokenStream)

    assert len(bench.provider.requests) == MAX_ATTEMPTS


async def test_a_run_is_answered_by_rules_or_by_a_model_but_never_by_both() -> None:
    offline, provider = FakeProvider(says("by rules")), FakeProvider(says("by a model"))
    unkeyed = Route("default", (RouteTarget(Target("absent", "m")),))
    keyed = Route("keyed", (RouteTarget(Target("fake", "m")),))
    stand_in = StandIn(offline, Target("offline", "demo"))
    targets = Targets({"fake": provider}, routes=FixedRoutes([unkeyed, keyed]), stand_in=stand_in)
    gateway, journal = Gateway(targets, clock=ManualClock(), rng=Random(1)), MemoryLlmJournal()
    run, other_run = (gateway.bind(journal=journal, run_id=RUN_ID) for _ in range(2))
    default, named = ask("one"), ask("two", route="keyed")

    first = await run.call(default, call_of(default))
    with pytest.raises(MixedModels):
        await run.call(named, call_of(named))

    assert first.text == "by rules"
    assert (await other_run.call(named, call_of(named))).text == "by a model"


class Allowance:
    """A `Purse` with room for these models only."""

    def __init__(self, *models: str) -> None:
        self._models = models

    async def reserve(self, wish: Wish) -> Hold | None:
        if wish.model not in self._models:
            raise FallBack(f"no room for {wish.model}", action="fallback")
        return Hold("hold", 1)

    async def settle(self, hold: Hold, cost_nano_usd: int | None) -> None:
        pass


async def ask_within(allowance: Allowance, journal: MemoryLlmJournal) -> Completion:
    provider, request = FakeProvider(says("fine")), ask()
    targets = Targets({"fake": provider}, routes=only(Target("fake", "dear"), Target("fake", "cheap")))
    gateway = Gateway(targets, clock=ManualClock(), rng=Random(1))
    return await gateway.call(request, call_of(request), journal=journal, run_id=RUN_ID, purse=allowance)


async def test_a_budget_without_room_for_one_target_hands_over_to_the_next_and_nothing_leaves_for_the_first() -> None:
    journal = MemoryLlmJournal()

    await ask_within(Allowance("cheap"), journal)

    assert [start.model for start in journal.starts] == ["cheap"]
    assert journal.log == ["find", "start 1", "finish 1"]


async def test_a_budget_without_room_for_any_target_ends_the_call_before_anything_has_left() -> None:
    journal = MemoryLlmJournal()

    with pytest.raises(FallBack, match="cheap"):
        await ask_within(Allowance(), journal)

    assert journal.log == ["find"]
