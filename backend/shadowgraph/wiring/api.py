"""The API process: HTTP, and the relay and sweeper that every process runs."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from tempfile import TemporaryFile

from shadowgraph.api.app import create_app
from shadowgraph.api.hosts import require_safe_bind
from shadowgraph.api.server import HttpServer
from shadowgraph.api.services import ApiServices, ReadinessCheck
from shadowgraph.core.settings import Settings
from shadowgraph.db.engine import ping
from shadowgraph.wiring.common import Base, open_base, require_distributed
from shadowgraph.wiring.money import build_prices, seed_budgets
from shadowgraph.wiring.stopping import until_stopped


async def serve_api(settings: Settings, *, on_ready: Callable[[str], None]) -> None:
    """Until SIGTERM or SIGINT. `on_ready` gets the base URL.

    Errors: `InsecureBind`, `NotEmbedded`, `SchemaOutdated`, `PortTaken`.
    """
    require_safe_bind(settings)
    await require_distributed(settings)
    async with open_base(settings) as base, http_server(base) as url:
        on_ready(url)
        await until_stopped()


@asynccontextmanager
async def http_server(base: Base) -> AsyncIterator[str]:
    """Listens while the block is open; gives the base URL."""
    await seed_budgets(base)
    services = build_services(base)
    server = HttpServer(create_app(services), services)
    async with server.listening(base.settings.host, base.settings.port) as url:
        yield url


def build_services(base: Base) -> ApiServices:
    return ApiServices(
        database=base.database,
        clock=base.clock,
        settings=base.settings,
        wakeups=base.wakeups,
        nudge_relay=base.relay.nudge,
        prices=build_prices(base.settings),
        checks=readiness_checks(base),
    )


def readiness_checks(base: Base) -> list[ReadinessCheck]:
    settings = base.settings

    async def database() -> None:
        await ping(base.database)

    async def storage() -> None:
        settings.storage.mkdir(parents=True, exist_ok=True)
        with TemporaryFile(dir=settings.storage) as file:
            file.write(b"x")

    checks = [
        ReadinessCheck(
            "database", database, hint=f"start the database, or correct DATABASE_URL ({base.database.dialect})"
        ),
        ReadinessCheck(
            "storage",
            storage,
            hint=f"make {settings.storage} writable and free some space",
            is_required=settings.is_embedded,
        ),
    ]
    if settings.broker_url and not settings.is_embedded:
        hint = "start RabbitMQ, or correct BROKER_URL; until then workers find new runs by polling"
        checks.append(ReadinessCheck("broker", base.queue.check, hint=hint, is_required=False))
    return checks
