from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest

from shadowgraph.api.services import ApiServices
from shadowgraph.db.engine import Database
from tests.support.api import ApiParts, client_of
from tests.support.moves import Moves


@pytest.fixture
def parts(database: Database, tmp_path: Path) -> ApiParts:
    """What an API is made of; a test builds its own services from it when the usual ones do not fit."""
    return ApiParts(database, tmp_path)


@pytest.fixture
def services(parts: ApiParts) -> ApiServices:
    return parts.services()


@pytest.fixture
async def client(services: ApiServices) -> AsyncIterator[httpx.AsyncClient]:
    async with client_of(services) as client:
        yield client


@pytest.fixture
def moves(parts: ApiParts) -> Moves:
    return Moves(parts.database, parts.wakeups)
