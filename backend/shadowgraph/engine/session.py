"""The objects that work together on one claim."""

import asyncio
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field

from shadowgraph.core.calls import current_foreign_call, current_ports
from shadowgraph.core.clock import Clock
from shadowgraph.core.sizes import MAX_OUTPUT_BYTES
from shadowgraph.core.threads import hand_on
from shadowgraph.costs.prices import PriceBook
from shadowgraph.db.engine import Database
from shadowgraph.engine.checkpoints.savers import SaverSource
from shadowgraph.engine.claim import Claim
from shadowgraph.engine.context import ClosableTools, LiveModels, PortFactory, RunContext
from shadowgraph.engine.home import HomeAnswerJournal, HomeToolJournal
from shadowgraph.engine.journal import EngineLlmJournal, Memories, StepMemory
from shadowgraph.engine.live import LiveOutput
from shadowgraph.engine.looks import BudgetLooks
from shadowgraph.engine.metering import EngineAnswerJournal, Meter, current_meter
from shadowgraph.engine.pinned import PinnedFiles
from shadowgraph.engine.projects import NODE_TIMEOUT_SECONDS
from shadowgraph.engine.purse import RunPurse
from shadowgraph.engine.recorder import RunRecorder
from shadowgraph.engine.tool_journal import EngineToolJournal
from shadowgraph.engine.writer import Writer
from shadowgraph.queue.port import Wakeups


@dataclass(frozen=True, slots=True)
class DriverParts:
    """What every drive of a process shares."""

    database: Database
    writer: Writer
    savers: SaverSource
    ports: PortFactory
    wakeups: Wakeups
    clock: Clock
    max_output_bytes: int = MAX_OUTPUT_BYTES
    prices: PriceBook = field(default_factory=PriceBook)
    tracks_costs: bool = True
    """False: no budget applies. What calls cost is written down all the same."""
    pinned: PinnedFiles | None = None
    """None: there are no versions here, and runs use what their project's folder has."""


@dataclass(frozen=True, slots=True)
class Session:
    """The objects of one claim."""

    recorder: RunRecorder
    context: RunContext
    tools: ClosableTools
    meter: Meter
    purse: RunPurse

    @contextmanager
    def in_reach(self) -> Iterator[None]:
        """The graph's code finds its run."""
        ports, meter = current_ports.set(self.context), current_meter.set(self.meter)
        try:
            yield
        finally:
            current_meter.reset(meter)
            current_ports.reset(ports)

    async def bring_to_rest(self) -> None:
        """A node that asks a person ends at once. The tools that it runs side by side end first, as long as a node may take: cut off, they
        would be in doubt."""
        with suppress(TimeoutError):
            async with asyncio.timeout(NODE_TIMEOUT_SECONDS):
                await self.tools.close()


def build_session(parts: DriverParts, claim: Claim, looks: BudgetLooks) -> Session:
    loop = asyncio.get_running_loop()
    memories = Memories(StepMemory(), StepMemory())
    recorder = RunRecorder(
        claim,
        parts.writer,
        clock=parts.clock,
        wakeups=parts.wakeups,
        attempts=Counter(),
        on_step_end=memories.forget,
    )
    live = LiveOutput(recorder, parts.wakeups, clock=parts.clock)
    llm = EngineLlmJournal(recorder, parts.database, memories.llm, clock=parts.clock, prices=parts.prices)
    purse = RunPurse(parts.database, parts.prices, claim, looks=looks, clock=parts.clock, is_enabled=parts.tracks_costs)
    tool_journal = EngineToolJournal(recorder, parts.database, memories.tools, clock=parts.clock)
    tools = ClosableTools(parts.ports.tools(HomeToolJournal(tool_journal, loop), run_id=claim.run_id), loop)
    context = RunContext(
        recorder,
        LiveModels(parts.ports.models(llm, run_id=claim.run_id, purse=purse), live),
        tools,
        HomeAnswerJournal(EngineAnswerJournal(llm, recorder, memories.llm, clock=parts.clock), loop),
        loop=loop,
    )
    hand_on(current_ports, current_meter, current_foreign_call)
    meter = Meter(recorder, clock=parts.clock, loop=loop, prices=parts.prices, purse=purse)
    return Session(recorder, context, tools, meter, purse)
