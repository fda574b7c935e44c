from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest

from shadowgraph.db.engine import Database
from tests.support.api import ApiParts, client_of


@pytest.fixture
def parts(tmp_path: Path) -> ApiParts:
    """An API whose database cannot be opened: whoever asks it fails."""
    return ApiParts(Database(f"sqlite:///{tmp_path}/missing/nothing.db"), tmp_path)


@pytest.fixture
async def client(parts: ApiParts) -> AsyncIterator[httpx.AsyncClient]:
    async with client_of(parts.services()) as client:
        yield client
