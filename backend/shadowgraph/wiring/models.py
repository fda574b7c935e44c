"""Which providers this process has: those that are set up. The offline demo model stands in for routes of which none is."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from importlib import import_module
from typing import Protocol, cast

from shadowgraph.core.settings import OFFLINE, Settings
from shadowgraph.llm.offline.chat_model import OfflineChatModel
from shadowgraph.llm.offline.knobs import parse_knobs
from shadowgraph.llm.port import Provider, Target
from shadowgraph.llm.providers.known import providers_set_up, what_is_missing
from shadowgraph.llm.providers.offline import OfflineProvider
from shadowgraph.llm.routes import RouteSource
from shadowgraph.llm.targets import StandIn, Targets

OFFLINE_MODEL = "offline-demo-1"


class OpenProvider(Provider, Protocol):
    async def close(self) -> None: ...


@asynccontextmanager
async def open_targets(settings: Settings, routes: RouteSource) -> AsyncIterator[Targets]:
    """Errors: `BadOfflineSetting`."""
    offline = OfflineProvider(OfflineChatModel(knobs=parse_knobs(settings.offline_model)))
    async with AsyncExitStack() as stack:
        providers: dict[str, Provider] = {}
        for name in providers_set_up(settings):
            provider = await asyncio.to_thread(_build, name, settings)
            stack.push_async_callback(provider.close)
            providers[name] = provider
        yield Targets(
            providers,
            routes=routes,
            stand_in=StandIn(offline, Target(OFFLINE, OFFLINE_MODEL)),
            explain=lambda name: what_is_missing(name, settings),
        )


def _build(name: str, settings: Settings) -> OpenProvider:
    """Imports a provider's library only when it is set up: that takes seconds, and one of them is an extra."""
    module = import_module(f"shadowgraph.llm.providers.{name}")
    return cast(OpenProvider, module.build_provider(settings))
