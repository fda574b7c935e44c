import os
import secrets
import tempfile
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path

import pytest

from tests.chaos.servers import OwnPostgres, OwnRabbit
from tests.chaos.world import World, open_world
from tests.support.deployments import FAST_RECOVERY
from tests.support.private_servers import BinaryMissing
from tests.support.processes import Zygote, stage
from tests.support.requirements import skip_or_fail
from tests.support.services import SERVERS_FOLDER_VARIABLE

OWN_SERVERS = pytest.mark.xdist_group("servers of the chaos tests")
"""They share one PostgreSQL and one RabbitMQ, and hurt them."""

OpenWorld = Callable[..., AbstractAsyncContextManager[World]]


@pytest.fixture
def world_without_broker(zygote: Zygote, tmp_path: Path, postgresql_url: str) -> OpenWorld:
    """Workers find runs by LISTEN and by the poll. Keyword arguments: `knobs` of the provider, and settings."""

    @asynccontextmanager
    async def open_it(*, knobs: str = "", **settings: str) -> AsyncIterator[World]:
        with stage(zygote, tmp_path, **{**FAST_RECOVERY, **settings}) as prepared:
            async with open_world(prepared, postgresql_url, knobs=knobs) as world:
                yield world

    return open_it


@pytest.fixture
def world_with_broker(
    zygote: Zygote, tmp_path: Path, postgresql_url: str, broker_url: str, queue_prefix: str
) -> OpenWorld:
    """The distributed deployment on shared servers."""

    @asynccontextmanager
    async def open_it(*, knobs: str = "", **settings: str) -> AsyncIterator[World]:
        broker = {"BROKER_URL": broker_url, "QUEUE_PREFIX": queue_prefix}
        with stage(zygote, tmp_path, **{**FAST_RECOVERY, **broker, **settings}) as prepared:
            async with open_world(prepared, postgresql_url, knobs=knobs) as world:
                yield world

    return open_it


@pytest.fixture
def world_embedded(zygote: Zygote, tmp_path: Path, sqlite_url: str) -> OpenWorld:
    """One process on SQLite."""

    @asynccontextmanager
    async def open_it(*, knobs: str = "", **settings: str) -> AsyncIterator[World]:
        with stage(zygote, tmp_path, **settings) as prepared:
            async with open_world(prepared, sqlite_url, knobs=knobs) as world:
                yield world

    return open_it


@pytest.fixture(scope="session")
def servers_folder() -> Path:
    """Where the user postgres can get at it; removed with the other servers of the session."""
    folder = Path(tempfile.mkdtemp(prefix="chaos-", dir=os.environ[SERVERS_FOLDER_VARIABLE]))
    folder.chmod(0o755)
    return folder


@pytest.fixture(scope="session")
def _postgres_process(servers_folder: Path) -> Iterator[OwnPostgres]:
    folder = servers_folder / "postgresql"
    folder.mkdir()
    try:
        server = OwnPostgres(folder)
    except BinaryMissing as missing:
        skip_or_fail(str(missing))
    yield server
    server.stop()


@pytest.fixture
def own_postgres(_postgres_process: OwnPostgres) -> OwnPostgres:
    """Up, whatever the test before has done to it."""
    _postgres_process.ensure_up()
    return _postgres_process


@pytest.fixture(scope="session")
def _rabbit_process(servers_folder: Path) -> Iterator[OwnRabbit]:
    folder = servers_folder / "rabbitmq"
    folder.mkdir()
    try:
        server = OwnRabbit(folder)
    except BinaryMissing as missing:
        skip_or_fail(str(missing))
    yield server
    server.stop()


@pytest.fixture
def own_rabbit(_rabbit_process: OwnRabbit) -> OwnRabbit:
    """Up, whatever the test before has done to it."""
    _rabbit_process.ensure_up()
    return _rabbit_process


@pytest.fixture
def world_with_own_broker(zygote: Zygote, tmp_path: Path, postgresql_url: str, own_rabbit: OwnRabbit) -> OpenWorld:
    @asynccontextmanager
    async def open_it(*, knobs: str = "", **settings: str) -> AsyncIterator[World]:
        broker = {"BROKER_URL": own_rabbit.url, "QUEUE_PREFIX": f"test_{secrets.token_hex(4)}_"}
        with stage(zygote, tmp_path, **{**FAST_RECOVERY, **broker, **settings}) as prepared:
            async with open_world(prepared, postgresql_url, knobs=knobs) as world:
                yield world

    return open_it


@pytest.fixture
def world_with_own_database(zygote: Zygote, tmp_path: Path, own_postgres: OwnPostgres) -> OpenWorld:
    """Sessions are lost with the server, so presence means nothing for a while after its start, as it is by default."""

    @asynccontextmanager
    async def open_it(*, knobs: str = "", **settings: str) -> AsyncIterator[World]:
        with own_postgres.database() as url, stage(zygote, tmp_path, **{"LEASE_SECONDS": "3", **settings}) as prepared:
            async with open_world(prepared, url, knobs=knobs) as world:
                yield world

    return open_it
