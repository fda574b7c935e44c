"""Fixtures that every suite may use. What they do is in `tests/support/`."""

import os
import re
import secrets
from collections.abc import AsyncIterator, Iterator, Sequence
from pathlib import Path

import pytest

from shadowgraph.core import failpoints
from shadowgraph.core.settings import PREFIX, Settings
from shadowgraph.db.engine import Database
from tests.support import broker, services
from tests.support import database as databases
from tests.support.processes import Zygote

CHAOS = Path(__file__).parent / "chaos"
LOOPBACK = ["127.0.0.1", "::1"]


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("chaos", "the fault matrix (tests/chaos)")
    group.addoption(
        "--chaos", action="store_true", help="run the whole fault matrix, and nothing else unless it is named"
    )
    group.addoption("--seed", type=int, default=None, metavar="N", help="of the random faults; a new one unless given")
    group.addoption("--seconds", type=float, default=90, metavar="S", help="how long faults come at random")


@pytest.hookimpl(tryfirst=True)
def pytest_configure(config: pytest.Config) -> None:
    if config.option.chaos:
        _look_at_the_fault_matrix(config)
    _forget_settings_of_the_shell()
    _guard_network(config)
    if folder := services.begin_servers_folder():
        config.add_cleanup(lambda: services.end_servers_folder(folder))


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    left_out = [item for item in items if not _is_wanted(item, config)]
    items[:] = [item for item in items if _is_wanted(item, config)]
    config.hook.pytest_deselected(items=left_out)


@pytest.hookimpl(trylast=True)
def pytest_collection_finish(session: pytest.Session) -> None:
    _require_groups(session.config, session.items)


def _require_groups(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Tests that share an expensive server must stay together; whether they do depends on two libraries' versions."""
    scattered = [item for item in items if item.get_closest_marker("xdist_group") and "@" not in item.nodeid]
    if config.getoption("loadgroup", default=False) and scattered:
        raise pytest.UsageError(f"pytest-xdist does not group {scattered[0].nodeid}")


def _is_wanted(item: pytest.Item, config: pytest.Config) -> bool:
    """The whole matrix when it is asked for. Through a pooler only those that use PostgreSQL say anything new."""
    if item.get_closest_marker("whole_matrix") and not config.option.chaos:
        return False
    return not services.is_pooled() or _uses_postgresql(item)


def _uses_postgresql(item: pytest.Item) -> bool:
    """By a fixture, or by a parameter that names the deployment."""
    fixtures: Sequence[str] = getattr(item, "fixturenames", ())
    _, _, parameters = item.name.partition("[")
    return "way_to_postgresql" in fixtures or re.search("postgres|distributed", parameters) is not None


def _look_at_the_fault_matrix(config: pytest.Config) -> None:
    config.pluginmanager.import_plugin("tests.chaos.report")
    if config.args_source is pytest.Config.ArgsSource.TESTPATHS:
        config.args[:] = [str(CHAOS)]


def _forget_settings_of_the_shell() -> None:
    """A key or database of whoever runs the tests must not reach them; child processes inherit this environment."""
    for name in Settings.model_fields:
        os.environ.pop(name.upper(), None)
        os.environ.pop(f"{PREFIX}{name.upper()}", None)


def _guard_network(config: pytest.Config) -> None:
    """A connection to anywhere else fails the test (pytest-socket reads these options)."""
    config.option.allow_hosts = [*LOOPBACK, *services.named_hosts()]
    config.option.allow_unix_socket = True


@pytest.fixture(autouse=True)
def _failpoints_off() -> Iterator[None]:
    yield
    failpoints.switch_all_off()


@pytest.fixture(scope="session")
def zygote() -> Iterator[Zygote]:
    """Starts real processes of ours in milliseconds."""
    process = Zygote()
    try:
        yield process
    finally:
        process.close()


@pytest.fixture(scope="session")
def postgresql_server() -> str:
    """URL of a server where databases may be created."""
    return services.require_service(services.POSTGRESQL)


@pytest.fixture(scope="session")
def way_to_postgresql(postgresql_server: str) -> str:
    """The server, or the pooler before it when the tests are to go through one."""
    return services.require_pooler() if services.is_pooled() else postgresql_server


@pytest.fixture(scope="session")
def broker_url() -> str:
    """A RabbitMQ that is shared: use `queue_prefix` in all names."""
    return services.require_service(services.RABBITMQ)


@pytest.fixture(scope="session")
def redis_url() -> str:
    """A Redis that is shared: use `redis_prefix` in all keys."""
    return services.require_service(services.REDIS)


@pytest.fixture
def queue_prefix(broker_url: str) -> Iterator[str]:
    """Of this test alone; its queues and exchanges are deleted afterwards."""
    prefix = f"test_{secrets.token_hex(6)}_"
    yield prefix
    broker.delete_topology(broker_url, prefix)


@pytest.fixture
def redis_prefix(redis_url: str) -> Iterator[str]:
    """Of this test alone; its keys are deleted afterwards."""
    prefix = f"test_{secrets.token_hex(6)}_"
    yield prefix
    broker.delete_redis_keys(redis_url, prefix)


@pytest.fixture(scope="session")
def _migrated_postgresql(postgresql_server: str, way_to_postgresql: str) -> Iterator[str]:
    with databases.postgresql_database(postgresql_server) as direct_url:
        url = databases.at_server(direct_url, way_to_postgresql)
        databases.migrate_database(url)
        yield url


@pytest.fixture(scope="session")
def _migrated_sqlite(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("template") / "migrated.db"
    databases.migrate_database(f"sqlite:///{path}")
    return path


@pytest.fixture
def postgresql_url(_migrated_postgresql: str) -> str:
    """Migrated and empty; one database per test process."""
    databases.empty_database(_migrated_postgresql)
    return _migrated_postgresql


@pytest.fixture
def direct_postgresql_url(postgresql_url: str, postgresql_server: str) -> str:
    """The same database, past any pooler."""
    return databases.at_server(postgresql_url, postgresql_server)


@pytest.fixture
def pooled_postgresql_url(direct_postgresql_url: str) -> str:
    """The same database, through PgBouncer in transaction mode."""
    return databases.at_server(direct_postgresql_url, services.require_pooler())


@pytest.fixture
def blank_postgresql_url(postgresql_server: str, way_to_postgresql: str) -> Iterator[str]:
    """A new database without any table."""
    with databases.postgresql_database(postgresql_server) as direct_url:
        yield databases.at_server(direct_url, way_to_postgresql)


@pytest.fixture
def sqlite_url(_migrated_sqlite: Path, tmp_path: Path) -> str:
    """Migrated and empty; one file per test."""
    return databases.copy_sqlite(_migrated_sqlite, tmp_path)


@pytest.fixture(params=["sqlite", "postgresql"])
def database_url(request: pytest.FixtureRequest) -> str:
    """The test runs once on each database."""
    return str(request.getfixturevalue(f"{request.param}_url"))


@pytest.fixture
async def database(database_url: str) -> AsyncIterator[Database]:
    """Connections of this process to the database under test."""
    connections = Database(database_url)
    yield connections
    await connections.close()
