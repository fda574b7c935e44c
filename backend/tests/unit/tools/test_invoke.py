import asyncio

import pytest

from shadowgraph.core.calls import AuthoredTool, CallId, Effect, ToolDescription, ToolRecord, ToolRequest
from shadowgraph.core.clock import ManualClock
from shadowgraph.core.doubts import ToolInDoubt, doubt_id
from shadowgraph.core.json import Json, JsonObject
from shadowgraph.tools.invoke import ToolFailed, ToolInvoker
from shadowgraph.tools.registry import InvalidArguments, Tool, ToolContext, ToolFunction, ToolRegistry, UnknownTool
from tests.support.ports import MemoryToolJournal
from tests.support.waiting import wait_until

CALL = CallId(key="1//coder/4//0", request_hash="h")
IN_DOUBT = ToolRecord(CALL.key, "in_doubt")
PARAMETERS = {"type": "object", "properties": {"to": {"type": "string"}}, "required": ["to"]}


class Bench:
    """One tool behind an invoker, and how often it really ran."""

    def __init__(
        self, run: ToolFunction | None = None, *, effect: Effect = "read", idempotent: bool = False, timeout: float = 5
    ) -> None:
        self.ran: list[tuple[JsonObject, ToolContext]] = []
        self.journal = MemoryToolJournal()
        self._run = run or self._answer
        description = ToolDescription("send", "Sends.", PARAMETERS, effect=effect, idempotent=idempotent)
        tool = Tool(description, run=self._count, timeout_seconds=timeout, max_result_bytes=500)
        self.invoker = ToolInvoker(
            registry=ToolRegistry([tool]), journal=self.journal, clock=ManualClock(), run_id="run_1"
        )

    async def _count(self, arguments: JsonObject, context: ToolContext) -> Json:
        self.ran.append((arguments, context))
        return await self._run(arguments, context)

    async def _answer(self, arguments: JsonObject, context: ToolContext) -> Json:
        return {"sent": True}

    def doubt(self, decision: Json) -> None:
        """The call was cut off, and a person has said what becomes of it."""
        self.journal.recorded[CALL] = IN_DOUBT
        self.journal.decisions[doubt_id(CALL.key, CALL.request_hash, IN_DOUBT.doubts)] = decision

    async def call(self, arguments: JsonObject | None = None, *, tool: str = "send") -> Json:
        return await self.invoker.call(ToolRequest("coder", tool, arguments or {"to": "ann"}), CALL)


async def test_a_call_is_started_in_the_journal_before_it_runs_and_finished_before_its_result_is_used() -> None:
    bench = Bench()

    result = await bench.call()

    assert result == {"sent": True}
    assert bench.journal.events == ["find", "start send", "finish send"]


async def test_a_finished_call_is_answered_from_the_journal() -> None:
    bench = Bench()
    first = await bench.call()

    second = await bench.call()

    assert second == first
    assert len(bench.ran) == 1


async def test_arguments_that_do_not_fit_reach_neither_journal_nor_tool() -> None:
    bench = Bench()

    with pytest.raises(InvalidArguments):
        await bench.call({"to": 3})

    assert not bench.journal.events
    assert not bench.ran


async def test_an_unknown_tool_is_refused() -> None:
    with pytest.raises(UnknownTool):
        await Bench().call(tool="sned")


async def test_the_tool_gets_a_key_that_stays_the_same_when_the_call_is_repeated() -> None:
    bench = Bench()

    await bench.call()

    assert bench.ran[0][1] == ToolContext(agent="coder", idempotency_key=f"run_1:{CALL.key}")


@pytest.mark.parametrize(("effect", "idempotent"), [("pure", False), ("read", False), ("write", True)])
async def test_a_harmless_call_in_doubt_is_made_again(effect: Effect, idempotent: bool) -> None:
    bench = Bench(effect=effect, idempotent=idempotent)
    bench.journal.recorded[CALL] = IN_DOUBT

    assert await bench.call() == {"sent": True}


@pytest.mark.parametrize(("effect", "idempotent"), [("write", False), ("irreversible", True)])
async def test_a_write_in_doubt_is_not_made_again(effect: Effect, idempotent: bool) -> None:
    bench = Bench(effect=effect, idempotent=idempotent)
    bench.journal.recorded[CALL] = IN_DOUBT

    with pytest.raises(ToolInDoubt) as caught:
        await bench.call()

    assert caught.value.facts == {"tool": "send", "call": CALL.key}
    assert caught.value.doubt is not None
    assert not bench.ran


async def test_a_person_is_told_what_was_called_without_secrets() -> None:
    bench = Bench(effect="irreversible")
    bench.journal.recorded[CALL] = IN_DOUBT

    with pytest.raises(ToolInDoubt) as caught:
        await bench.call({"to": "ann", "password": "canary", "note": "x" * 10_000})

    doubt = caught.value.doubt
    assert doubt is not None
    assert (doubt.tool, doubt.effect, doubt.agent, doubt.call_key) == ("send", "irreversible", "coder", CALL.key)
    assert isinstance(doubt.arguments, dict)
    assert (doubt.arguments["to"], doubt.arguments["password"]) == ("ann", "***")
    assert "characters" in doubt.arguments["note"]


async def test_a_person_may_have_it_repeated() -> None:
    bench = Bench(effect="write")
    bench.doubt("repeat")

    assert await bench.call() == {"sent": True}

    assert len(bench.ran) == 1
    assert bench.journal.recorded[CALL].doubts == 1


async def test_a_repeat_that_is_cut_off_is_another_doubt() -> None:
    bench = Bench(effect="write")
    bench.doubt("repeat")
    await bench.call()
    bench.journal.recorded[CALL] = ToolRecord(CALL.key, "in_doubt", doubts=1)

    with pytest.raises(ToolInDoubt) as caught:
        await bench.call()

    assert caught.value.doubt is not None
    assert caught.value.doubt.id not in bench.journal.decisions
    assert len(bench.ran) == 1


async def test_a_person_may_say_what_its_result_was() -> None:
    bench = Bench(effect="write")
    bench.doubt({"result": {"sent": "\x00by hand", "log": "x" * 10_000}})

    first, second = await bench.call(), await bench.call()

    assert first == second
    assert isinstance(first, dict)
    assert first["sent"] == "by hand", "as clean as a result of the tool"
    assert len(str(first["log"])) < 500
    assert not bench.ran


async def test_a_result_may_be_null() -> None:
    bench = Bench(effect="write")
    bench.doubt({"result": None})

    assert await bench.call() is None

    assert not bench.ran


async def test_a_call_that_a_person_gives_up_stays_given_up() -> None:
    bench = Bench(effect="write")
    bench.doubt("fail")

    for _ in range(2):
        with pytest.raises(ToolInDoubt) as caught:
            await bench.call()
        assert caught.value.doubt is None, "nobody is asked again"

    assert bench.journal.events.count("give up send") == 1
    assert not bench.ran


async def test_a_call_goes_on_under_the_key_that_it_was_begun_with() -> None:
    bench = Bench(effect="write", idempotent=True)
    other = CallId("1//coder/4//7", CALL.request_hash)
    bench.journal.recorded[CALL] = ToolRecord(other.key, "in_doubt")

    await bench.call()

    assert bench.journal.recorded[other].state == "done"
    assert bench.ran[0][1].idempotency_key == f"run_1:{other.key}"


async def test_a_write_that_is_known_to_have_failed_may_be_tried_again() -> None:
    bench = Bench(effect="write")
    bench.journal.recorded[CALL] = ToolRecord(CALL.key, "failed")

    assert await bench.call() == {"sent": True}


async def test_an_error_of_the_tool_is_recorded_and_told() -> None:
    async def break_down(arguments: JsonObject, context: ToolContext) -> Json:
        raise ValueError("no such person")

    bench = Bench(break_down)

    with pytest.raises(ToolFailed, match="tool 'send' failed: ValueError: no such person"):
        await bench.call()

    assert bench.journal.errors == ["ValueError: no such person"]


async def _never(arguments: JsonObject, context: ToolContext) -> Json:
    await asyncio.Event().wait()
    return None


async def test_a_tool_that_takes_too_long_is_given_up() -> None:
    bench = Bench(_never, timeout=0.01)

    with pytest.raises(ToolFailed, match=r"no answer within 0\.01 s"):
        await bench.call()


async def test_a_write_that_takes_too_long_is_in_doubt() -> None:
    bench = Bench(_never, effect="write", timeout=0.01)

    with pytest.raises(ToolInDoubt):
        await bench.call()

    assert not bench.journal.errors


async def test_a_time_out_inside_the_tool_is_an_error_of_the_tool() -> None:
    async def give_up(arguments: JsonObject, context: ToolContext) -> Json:
        raise TimeoutError("the printer is slow")

    bench = Bench(give_up, effect="write")

    with pytest.raises(ToolFailed, match="the printer is slow"):
        await bench.call()


async def test_a_cancelled_call_stays_open_in_the_journal() -> None:
    bench = Bench(_never)
    task = asyncio.create_task(bench.call())
    await wait_until(lambda: bench.ran)

    task.cancel()
    await asyncio.gather(task, return_exceptions=True)

    assert bench.journal.events == ["find", "start send"]


async def test_text_that_cannot_be_stored_is_cleaned_on_both_sides() -> None:
    async def echo(arguments: JsonObject, context: ToolContext) -> Json:
        return {"to": arguments["to"], "nan": float("nan"), "text": "a\x00b\ud800c"}

    bench = Bench(echo)

    assert await bench.call({"to": "an\x00n"}) == {"to": "ann", "nan": None, "text": "ab\ufffdc"}


async def test_a_long_result_is_shortened() -> None:
    async def talk(arguments: JsonObject, context: ToolContext) -> Json:
        return {"text": "x" * 10_000}

    result = await Bench(talk).call()

    assert len(str(result)) < 600
    assert "[cut:" in str(result)


async def test_a_result_that_is_no_json_is_an_error_of_the_tool() -> None:
    async def confuse(arguments: JsonObject, context: ToolContext) -> Json:
        return object()  # type: ignore[return-value]

    with pytest.raises(ToolFailed):
        await Bench(confuse).call()


class Interrupted(Exception):
    """Stands for a graph library's way to stop a node."""


def _authored(run: ToolFunction, *, effect: Effect = "write") -> AuthoredTool:
    context = ToolContext("", "")
    description = ToolDescription("book", "Books.", PARAMETERS, effect=effect)
    return AuthoredTool(description, run=lambda arguments: run(arguments, context), passes=(Interrupted,))


async def test_an_authors_own_tool_is_journaled_like_a_registered_one() -> None:
    bench = Bench()
    authored = _authored(bench._answer)

    for _ in range(2):
        result = await bench.invoker.call(ToolRequest("coder", "book", {"to": "ann"}), CALL, authored=authored)

    assert result == {"sent": True}
    assert bench.journal.events == ["find", "start book", "finish book", "find"]


async def test_what_stops_a_node_passes_unchanged_and_the_tool_runs_again_afterwards() -> None:
    stops = iter([Interrupted(), None])

    async def ask_first(arguments: JsonObject, context: ToolContext) -> Json:
        if stop := next(stops):
            raise stop
        return "booked"

    bench = Bench()
    request, authored = ToolRequest("coder", "book", {"to": "ann"}), _authored(ask_first)

    with pytest.raises(Interrupted):
        await bench.invoker.call(request, CALL, authored=authored)
    result = await bench.invoker.call(request, CALL, authored=authored)

    assert result == "booked"
