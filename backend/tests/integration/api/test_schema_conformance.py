"""What the document promises, tried with generated requests: nothing breaks, and every answer is one that the document knows."""

import asyncio
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, settings
from schemathesis import Case
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from shadowgraph.api.openapi import COMMITTED
from shadowgraph.db.engine import Database
from shadowgraph.engine.claim import Claim
from tests.support.api import ApiParts, add_workflow, create, served
from tests.support.moves import Moves

EXAMPLES = 12
"""For each operation; a smoke test, kept short."""

CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
]

schema = schemathesis.openapi.from_path(COMMITTED)


@schemathesis.serializer("application/zip")
def send_as_it_is(_context: object, value: object) -> bytes:
    """Archives of versions: any bytes will do."""
    return value if isinstance(value, bytes) else str(value).encode()


@dataclass(frozen=True)
class Target:
    url: str
    run_id: str
    """A run that has ended, so that no stream of it stays open."""


@pytest.fixture
def target(sqlite_url: str, tmp_path: Path) -> Iterator[Target]:
    """A server in a thread: the generated requests are sent by blocking code."""
    started: list[Target] = []
    loop, is_up, stop = asyncio.new_event_loop(), threading.Event(), asyncio.Event()

    async def serve() -> None:
        database = Database(sqlite_url)
        parts = ApiParts(database, tmp_path)
        await add_workflow(database)
        async with served(parts.services()) as client:
            run_id = (await create(client))["id"]
            await Moves(database, parts.wakeups).complete(await _work(parts, run_id))
            started.append(Target(str(client.base_url), run_id))
            is_up.set()
            await stop.wait()
        await database.close()

    thread = threading.Thread(target=lambda: loop.run_until_complete(serve()))
    thread.start()
    assert is_up.wait(20)
    yield started[0]
    loop.call_soon_threadsafe(stop.set)
    thread.join(20)
    loop.close()


async def _work(parts: ApiParts, run_id: str) -> Claim:
    """The run with something of everything."""
    moves = Moves(parts.database, parts.wakeups)
    claim = await moves.claim(run_id)
    await moves.step(claim, "coder")
    await moves.attempt(claim)
    await moves.keep(claim, {"a.py": b"print()"})
    return claim


@schema.parametrize()
@settings(
    max_examples=EXAMPLES,
    deadline=None,
    derandomize=True,
    database=None,
    phases=[Phase.explicit, Phase.generate],
    suppress_health_check=list(HealthCheck),
)
def test_the_server_keeps_what_its_document_promises(case: Case[Any], target: Target) -> None:
    for name in {"run_id", "other_id"} & case.path_parameters.keys():
        case.path_parameters[name] = target.run_id
    case.query.pop("wait", None)  # nobody works on these runs

    case.call_and_validate(base_url=target.url, checks=CHECKS)
