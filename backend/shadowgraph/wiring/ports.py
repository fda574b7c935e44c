"""The gateway and the tools, as the engine binds them to a run."""

import asyncio
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from shadowgraph.core.calls import LlmJournal, ModelPort, PriceList, Purse, ToolJournal, ToolPort
from shadowgraph.core.clock import Clock
from shadowgraph.core.settings import Settings
from shadowgraph.db.engine import Database
from shadowgraph.llm.gate import Gate
from shadowgraph.llm.gateway import Gateway
from shadowgraph.llm.routes import FixedRoutes, seed_route
from shadowgraph.reliability.breaker import Breakers
from shadowgraph.runs.breakers import SqlBreakers
from shadowgraph.runs.routes import LiveRoutes
from shadowgraph.tools.definitions import build_registry
from shadowgraph.tools.invoke import ToolInvoker
from shadowgraph.tools.registry import ToolRegistry
from shadowgraph.wiring.models import open_targets
from shadowgraph.wiring.rate_limits import open_limiter


@dataclass(frozen=True, slots=True)
class Ports:
    """Implements `engine.context.PortFactory`."""

    gateway: Gateway
    registry: ToolRegistry
    clock: Clock

    def models(self, journal: LlmJournal, *, run_id: str, purse: Purse) -> ModelPort:
        """Must be called on the loop that the journal lives in."""
        return self.gateway.bind(journal=journal, run_id=run_id, purse=purse, loop=asyncio.get_running_loop())

    def tools(self, journal: ToolJournal, *, run_id: str) -> ToolPort:
        return ToolInvoker(registry=self.registry, journal=journal, clock=self.clock, run_id=run_id)


@asynccontextmanager
async def open_ports(
    settings: Settings, *, clock: Clock, prices: PriceList, database: Database | None = None
) -> AsyncIterator[Ports]:
    """`database`: where routes and breakers are shared with other processes; None: with nobody."""
    seed = seed_route(settings.default_models)
    routes = LiveRoutes(database, seed, clock=clock) if database else FixedRoutes([seed])
    async with open_targets(settings, routes) as targets, _open_gate(settings, clock, database) as gate:
        gateway = Gateway(targets, clock=clock, rng=random.SystemRandom(), prices=prices, gate=gate)
        yield Ports(gateway, build_registry(), clock)


@asynccontextmanager
async def _open_gate(settings: Settings, clock: Clock, database: Database | None) -> AsyncIterator[Gate]:
    if database is None:
        yield Gate(clock)
        return
    shared = SqlBreakers(database, clock=clock)
    async with open_limiter(settings, database, clock=clock) as limiter:
        yield Gate(clock, breakers=Breakers(shared, clock=clock), limiter=limiter, watch=shared)
