"""`POST /gc`. (What goes and what stays: `runs/test_collecting.py`.)"""

from datetime import timedelta
from typing import Any

import httpx
from sqlalchemy import insert

from shadowgraph.db.engine import Database
from shadowgraph.models.idempotency_keys import idempotency_keys
from shadowgraph.models.payloads import payloads
from tests.support.api import V1, require_problem
from tests.support.runs import CLOCK
from tests.support.traces import dump


async def add_old_rows(database: Database) -> None:
    old = CLOCK.now() - timedelta(days=2)
    key = {"scope": "local", "key": "k", "request_hash": "", "response": {"run_id": "run_x"}, "created_at": old}
    orphan = {"sha256": "0" * 64, "media_type": "text/plain", "size": 3, "body": b"abc"}
    async with database.write() as connection:
        await connection.execute(insert(idempotency_keys).values(key))
        await connection.execute(insert(payloads).values(orphan))


def removed(response: httpx.Response) -> dict[str, tuple[int, int]]:
    assert response.status_code == 200, response.text
    found: list[dict[str, Any]] = response.json()["removed"]
    return {item["kind"]: (item["rows"], item["bytes"]) for item in found if item["rows"]}


async def test_a_preview_changes_nothing_and_says_what_goes(client: httpx.AsyncClient, database: Database) -> None:
    await add_old_rows(database)
    before = dump(database.url)

    foreseen = await client.post(f"{V1}/gc", params={"preview": 1})
    unchanged = dump(database.url)
    done = await client.post(f"{V1}/gc")
    again = await client.post("/gc")

    assert unchanged == before
    assert (foreseen.json()["preview"], done.json()["preview"]) == (True, False)
    assert removed(foreseen) == removed(done) == {"idempotency keys": (1, 0), "payloads": (1, 3)}
    assert removed(again) == {}


async def test_an_unknown_parameter_is_refused(client: httpx.AsyncClient) -> None:
    require_problem(await client.post(f"{V1}/gc", params={"previw": 1}), 422, "invalid_request")
