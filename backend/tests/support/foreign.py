"""Models as authors bring them, and what the real driver makes of graphs that use them, over crashes."""

import asyncio
import threading
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any

import pytest
from langchain_core.callbacks import AsyncCallbackManagerForLLMRun, CallbackManagerForLLMRun
from langchain_core.language_models import BaseChatModel
from langchain_core.language_models.base import LangSmithParams
from langchain_core.messages import AIMessage, AIMessageChunk, BaseMessage
from langchain_core.messages.ai import UsageMetadata
from langchain_core.outputs import ChatGeneration, ChatGenerationChunk, ChatResult
from langchain_core.runnables import Runnable
from pydantic import PrivateAttr
from sqlalchemy import RowMapping, Table, select

from shadowgraph.core import failpoints
from shadowgraph.core.agent_settings import AgentSettings
from shadowgraph.core.json import Json
from shadowgraph.costs.prices import PriceBook
from shadowgraph.db.engine import Database
from shadowgraph.engine.driver import Drive, Driver
from shadowgraph.engine.projects import Project
from shadowgraph.llm.gateway import Gateway
from shadowgraph.llm.port import Provider, Target
from shadowgraph.llm.routes import only
from shadowgraph.llm.targets import Targets
from shadowgraph.models.llm_calls import llm_attempts, llm_calls
from shadowgraph.models.tool_calls import tool_calls
from shadowgraph.runs import repository
from shadowgraph.runs.events import Event
from shadowgraph.runs.interactions import Interaction, answer_interaction, list_open_questions
from shadowgraph.runs.lifecycle import retry_run
from shadowgraph.runs.run import Run
from shadowgraph.runs.states import Status
from shadowgraph.runs.takeover import TakenAway, take_orphans
from shadowgraph.tools.registry import ToolRegistry
from shadowgraph.wiring.ports import Ports
from tests.support.graphs import Graph, driver_parts, project
from tests.support.runs import CLOCK, claim, start_run
from tests.support.waiting import wait_until

TOKENS = UsageMetadata(input_tokens=20, output_tokens=5, total_tokens=25)


@dataclass
class Gate:
    """Holds whoever comes, until it is opened."""

    is_reached: asyncio.Event = field(default_factory=asyncio.Event)
    is_open: asyncio.Event = field(default_factory=asyncio.Event)

    async def pass_through(self) -> None:
        self.is_reached.set()
        await self.is_open.wait()


class AuthorsModel(BaseChatModel):
    """Answers `answers` in turn, the last one again and again, and counts the requests that reach it."""

    answers: Any = (AIMessage("fine", usage_metadata=TOKENS),)
    streams_usage: bool = False
    """As with most providers: the answer of a stream says nothing of tokens."""
    gate: Any = None
    """A `Gate` before each answer; only for async calls."""
    _asked: list[str] = PrivateAttr(default_factory=list)
    _lock: Any = PrivateAttr(default_factory=threading.Lock)

    @property
    def requests(self) -> int:
        return len(self._asked)

    @property
    def _llm_type(self) -> str:
        return "authors"

    def _get_ls_params(self, stop: list[str] | None = None, **kwargs: Any) -> LangSmithParams:
        return LangSmithParams(ls_provider="acme", ls_model_name="acme-1")

    def bind_tools(self, tools: Any, **kwargs: Any) -> Runnable[Any, AIMessage]:
        return self

    def _next(self, messages: list[BaseMessage]) -> AIMessage:
        with self._lock:
            self._asked.append(str(messages[-1].text))
            answer: AIMessage | Exception = self.answers[min(len(self._asked), len(self.answers)) - 1]
        if isinstance(answer, Exception):
            raise answer
        return answer.model_copy(update={"id": None})

    def _generate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> ChatResult:
        return ChatResult(generations=[ChatGeneration(message=self._next(messages))])

    async def _agenerate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: AsyncCallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> ChatResult:
        if self.gate:
            await self.gate.pass_through()
        return self._generate(messages)

    def _stream(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> Iterator[ChatGenerationChunk]:
        answer = self._next(messages)
        for word in answer.text.split():
            yield ChatGenerationChunk(message=AIMessageChunk(content=word))
        if self.streams_usage:
            yield ChatGenerationChunk(message=AIMessageChunk(content="", usage_metadata=answer.usage_metadata))


class Crash(BaseException):
    """As if the process had died: no `except Exception` may see it."""


def _die() -> None:
    raise Crash


@dataclass
class Stage:
    """Drives graphs on a real database; a provider that tests play answers the gateway."""

    database: Database
    driver: Driver
    agents: Mapping[str, AgentSettings] = field(default_factory=dict)
    directory: Path = Path("/nonexistent")

    async def start(self) -> Run:
        return await start_run(self.database)

    async def drive(self, graph: Graph) -> Run:
        """The next due run, as one worker drives it."""
        run = await claim(self.database)
        await self.driver.drive(Drive(run), self._project(graph))
        return await self.reread(run)

    async def run(self, graph: Graph) -> Run:
        await self.start()
        return await self.drive(graph)

    async def run_until_cancelled(self, graph: Graph, is_there: asyncio.Event) -> Run:
        """Somebody cancels the run once the event is set."""
        await self.start()
        drive = Drive(await claim(self.database))
        driving = asyncio.create_task(self.driver.drive(drive, self._project(graph)))
        await is_there.wait()
        drive.stop_reason = "cancel"
        driving.cancel()
        await driving
        return await self.reread(drive.run)

    async def run_over_a_takeover(self, graph: Graph, point: str) -> Run:
        """Its worker is taken for dead at this point, and may write nothing more; another one finishes. The graph has to wait there by
        itself for something that never comes."""
        await self.start()
        await self.lose_worker(graph, point)
        return await self.drive(graph)

    async def lose_worker(self, graph: Graph, point: str, *, on_hit: int = 1) -> None:
        """The next due run, whose worker is taken for dead."""
        drive = Drive(await claim(self.database))
        loop, is_there = asyncio.get_running_loop(), asyncio.Event()
        failpoints.switch_on(point, lambda: _tell(loop, is_there), on_hit=on_hit)
        driving = asyncio.create_task(self.driver.drive(drive, self._project(graph)))
        await asyncio.wait([driving, asyncio.create_task(is_there.wait())], return_when=asyncio.FIRST_COMPLETED)
        assert is_there.is_set(), f"the run ended before {point}"
        await self.give_up()
        drive.stop_reason = "lost"
        driving.cancel()
        await driving

    async def run_over_a_crash(self, graph: Graph, point: str) -> Run:
        """Its worker dies at this point; another one finishes."""
        await self.start()
        await self.crash(graph, point)
        return await self.drive(graph)

    async def crash(self, graph: Graph, point: str, *, on_hit: int = 1) -> None:
        """The next due run, whose worker dies at this point."""
        failpoints.switch_on(point, _die, on_hit=on_hit)
        with pytest.raises(Crash):
            await self.drive(graph)
        await self.give_up()

    async def questions(self, run: Run) -> list[Interaction]:
        """The open ones."""
        async with self.database.read() as connection:
            return await list_open_questions(connection, run.id)

    async def answer(self, question: Interaction, value: Json) -> Run:
        async with self.database.write() as connection:
            run_id, asked = question.run_id, question.id
            return await answer_interaction(connection, run_id, asked, value, who="ann", clock=CLOCK)

    async def retry(self, run: Run) -> Run:
        async with self.database.write() as connection:
            return await retry_run(connection, run.id, who="ann", clock=CLOCK)

    async def give_up(self) -> None:
        taken = await wait_until(self._take_away)  # a write of the old worker may hold the row right now
        assert [item.status for item in taken] == [Status.QUEUED]

    async def _take_away(self) -> list[TakenAway]:
        async with self.database.write() as connection:
            return await take_orphans(connection, clock=CLOCK)

    async def reread(self, run: Run) -> Run:
        async with self.database.read() as connection:
            return await repository.require_run(connection, run.id)

    async def attempts(self) -> list[RowMapping]:
        return await self._rows(llm_attempts)

    async def calls(self) -> list[RowMapping]:
        return await self._rows(llm_calls)

    async def tools(self) -> list[RowMapping]:
        return await self._rows(tool_calls)

    async def events(self, run: Run, kind: str) -> list[Event]:
        async with self.database.read() as connection:
            return [event for event in await repository.list_events(connection, run.id) if event.type.startswith(kind)]

    async def _rows(self, table: Table) -> list[RowMapping]:
        async with self.database.read() as connection:
            return list((await connection.execute(select(table).order_by(table.c.at))).mappings())

    def _project(self, graph: Graph) -> Project:
        plain = project(graph)
        return Project(plain.name, self.directory, plain.code_digest, plain.workflows, agents=self.agents)


def _tell(loop: asyncio.AbstractEventLoop, event: asyncio.Event) -> None:
    """From any thread."""
    loop.call_soon_threadsafe(event.set)


@asynccontextmanager
async def open_stage(
    database: Database,
    provider: Provider,
    targets: Targets | None = None,
    registry: ToolRegistry | None = None,
    prices: PriceBook | None = None,
) -> AsyncIterator[Stage]:
    targets = targets or Targets({"fake": provider}, routes=only(Target("fake", "fake-1")))
    gateway = Gateway(targets, clock=CLOCK, rng=Random(1), sleep=asyncio.sleep, prices=prices)
    ports = Ports(gateway, registry or ToolRegistry(), CLOCK)
    async with driver_parts(database, ports=ports, prices=prices) as parts:
        yield Stage(database, Driver(parts))
