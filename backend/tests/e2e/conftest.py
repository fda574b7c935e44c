import json
import secrets
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from filelock import FileLock

from tests.support import broker, database
from tests.support.deployments import FAST_RECOVERY, Deployment, Kind
from tests.support.foreign_kinds import run_plainly
from tests.support.processes import Stage, Zygote, stage


def settings_for(kind: Kind, request: pytest.FixtureRequest) -> dict[str, str]:
    settings = dict(FAST_RECOVERY)
    if kind != "embedded":
        settings["DATABASE_URL"] = str(request.getfixturevalue("postgresql_url"))
    if kind == "distributed":
        settings["BROKER_URL"] = str(request.getfixturevalue("broker_url"))
        settings["QUEUE_PREFIX"] = str(request.getfixturevalue("queue_prefix"))
    return settings


@contextmanager
def settings_apart(kind: Kind, request: pytest.FixtureRequest) -> Iterator[dict[str, str]]:
    """For a server that all tests of a module share: nobody empties its database between them. Nobody is in a hurry to take a run over."""
    if kind == "embedded":
        yield {}
        return
    with database.postgresql_database(request.getfixturevalue("postgresql_server")) as url:
        database.migrate_database(url)
        settings = {"DATABASE_URL": url}
        if kind == "postgresql":
            yield settings
            return
        broker_url, prefix = str(request.getfixturevalue("broker_url")), f"test_{secrets.token_hex(6)}_"
        yield {**settings, "BROKER_URL": broker_url, "QUEUE_PREFIX": prefix}
    broker.delete_topology(broker_url, prefix)


@pytest.fixture(scope="session")
def plain_results(tmp_path_factory: pytest.TempPathFactory, worker_id: str) -> Any:
    """What the foreign graphs end with where nobody hosts them; found out by the first of the test processes."""
    own = tmp_path_factory.getbasetemp()
    results = (own if worker_id == "master" else own.parent) / "plain_results.json"
    with FileLock(f"{results}.lock"):
        if not results.exists():
            results.write_text(json.dumps(run_plainly()))
    return json.loads(results.read_text())


@pytest.fixture
def staged(request: pytest.FixtureRequest, zygote: Zygote, tmp_path: Path) -> Iterator[tuple[Kind, Stage]]:
    """Parametrise indirectly with the kinds that the test needs."""
    kind: Kind = request.param
    with stage(zygote, tmp_path, **settings_for(kind, request)) as prepared:
        yield kind, prepared


@pytest.fixture(params=["embedded", "postgresql", "distributed"])
async def deployment(request: pytest.FixtureRequest, zygote: Zygote, tmp_path: Path) -> AsyncIterator[Deployment]:
    """Running, with the offline model in process."""
    with stage(zygote, tmp_path, **settings_for(request.param, request)) as prepared:
        running = Deployment(request.param, prepared)
        await running.start()
        yield running
