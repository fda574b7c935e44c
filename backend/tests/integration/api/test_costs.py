"""Sums, budgets and prices over HTTP, and the commands that show them."""

from typing import Any

import httpx
import pytest

from tests.support.api import V1, create, require_problem
from tests.support.moves import Moves

YEAR = {"from": "2000-01-01T00:00:00Z", "to": "2100-01-01T00:00:00Z"}


async def spend(client: httpx.AsyncClient, moves: Moves, *costs: int | None) -> str:
    run_id = str((await create(client))["id"])
    claim = await moves.claim(run_id)
    for cost in costs:
        await moves.attempt(claim, provider="groq", cost_nano_usd=cost)
    await moves.complete(claim)
    return run_id


async def test_sums_say_what_is_not_known(client: httpx.AsyncClient, moves: Moves) -> None:
    await spend(client, moves, 125_000_001, None)

    report = (await client.get(f"{V1}/costs", params={"by": "agent", **YEAR})).json()

    (group,) = report["items"]
    assert group["key"] == "coder"
    assert (group["cost_usd"], group["cost_state"], group["unpriced"]) == (0.125000001, "partial", 1)
    assert report["total"]["summary"] == "at least $0.125000001, 1 request unpriced"
    assert (report["by"], report["rest"], report["group_count"]) == ("agent", None, 1)


async def test_groups_that_are_cut_off_stand_in_the_rest(client: httpx.AsyncClient, moves: Moves) -> None:
    for cost in (1, 30, 200):
        await spend(client, moves, cost)

    report = (await client.get(f"{V1}/costs", params={"by": "run", "limit": 1})).json()

    assert [item["cost_usd"] for item in report["items"]] == [2e-07]
    assert (report["rest"]["cost_usd"], report["total"]["cost_usd"]) == (3.1e-08, 2.31e-07)


@pytest.mark.parametrize(("params", "headers"), [({"format": "csv"}, {}), ({}, {"Accept": "text/csv"})])
async def test_csv_has_every_group_and_plain_digits(
    client: httpx.AsyncClient, moves: Moves, params: dict[str, str], headers: dict[str, str]
) -> None:
    await spend(client, moves, 1)

    answer = await client.get(f"{V1}/costs", params={"by": "model", **params}, headers=headers)

    head, row, total = answer.text.splitlines()
    assert answer.headers["content-type"].startswith("text/csv")
    columns = dict(zip(head.split(","), row.split(","), strict=True))
    assert (columns["model"], columns["cost_usd"]) == ("demo", "0.000000001")
    assert total.startswith("total,1,")


async def test_a_window_that_ends_before_it_begins_is_refused(client: httpx.AsyncClient) -> None:
    answer = await client.get(f"{V1}/costs", params={"from": YEAR["to"], "to": YEAR["from"]})

    require_problem(answer, 422, "invalid_request")


async def test_a_run_shows_its_requests_with_their_prices_and_its_budgets(
    client: httpx.AsyncClient, moves: Moves
) -> None:
    run_id = str((await client.post(f"{V1}/runs", json={"query": "x", "budget_usd": 0.5})).json()["id"])
    await moves.attempt(await moves.claim(run_id), provider="groq", cost_nano_usd=1)

    costs = (await client.get(f"{V1}/runs/{run_id}/costs")).json()

    assert [attempt["cost_usd"] for attempt in costs["attempts"]] == [1e-09]
    assert [(budget["subject"], budget["limit_usd"]) for budget in costs["budgets"]] == [("run", 0.5)]
    assert costs["total"]["cost_usd"] == costs["agents"][0]["cost_usd"] == costs["models"][0]["cost_usd"] == 1e-09


async def test_a_deleted_runs_costs_stay_in_the_sums(client: httpx.AsyncClient, moves: Moves) -> None:
    run_id = await spend(client, moves, 5)

    assert (await client.delete(f"{V1}/runs/{run_id}")).status_code == 200

    report = (await client.get(f"{V1}/costs", params={"by": "run"})).json()
    assert [(item["key"], item["cost_usd"]) for item in report["items"]] == [(run_id, 5e-09)]


async def test_the_forecast_goes_on_at_the_pace_of_the_week(client: httpx.AsyncClient, moves: Moves) -> None:
    for cost in (10, 20, 1_000):
        await spend(client, moves, cost)

    forecast = (await client.get(f"{V1}/costs/forecast")).json()

    assert forecast["so_far"]["cost_usd"] == 1.03e-06
    assert forecast["projected_usd"] >= forecast["so_far"]["cost_usd"]
    assert forecast["workflows"] == [{"workflow": "pipeline", "runs": 3, "p50_usd": 2e-08, "p95_usd": 1e-06}]


async def make(client: httpx.AsyncClient, **fields: Any) -> httpx.Response:
    body = {"subject": "everything", "window": "month", "limit_usd": 50, **fields}
    return await client.post(f"{V1}/budgets", json=body)


async def test_a_budget_is_made_shown_changed_and_removed(client: httpx.AsyncClient, moves: Moves) -> None:
    await spend(client, moves, 1_500_000_000)
    made = await make(client)
    budget = made.json()

    assert (made.status_code, made.headers["location"]) == (201, budget["links"]["self"])
    assert (budget["spent_usd"], budget["remaining_usd"], budget["action"]) == (1.5, 48.5, "pause")
    path = budget["links"]["self"]
    changed = await client.patch(path, json={"limit_usd": 75}, headers={"If-Match": made.headers["etag"]})
    assert changed.json()["limit_usd"] == 75
    stale = await client.patch(path, json={"limit_usd": 1}, headers={"If-Match": made.headers["etag"]})
    require_problem(stale, 412, "budget_changed")
    assert (await client.get(f"{V1}/budgets")).json()["items"] == [changed.json()]
    assert (await client.delete(path)).json() == {"id": budget["id"]}
    require_problem(await client.get(path), 404, "budget_not_found")


async def test_budgets_that_do_not_fit_are_refused(client: httpx.AsyncClient) -> None:
    await make(client)

    require_problem(await make(client), 409, "budget_exists")
    require_problem(await make(client, name="x"), 422, "budget_unfit")
    require_problem(await make(client, subject="agent"), 422, "budget_unfit")
    require_problem(await make(client, limit_usd=-1), 422, "invalid_request")
    unknown = "run_019a0000-0000-7000-8000-000000000000"
    require_problem(await make(client, subject="run", name=unknown), 404, "run_not_found")


async def test_budgets_of_single_runs_are_listed_on_demand(client: httpx.AsyncClient) -> None:
    run_id = (await client.post(f"{V1}/runs", json={"query": "x", "budget_usd": 0.5})).json()["id"]

    assert (await client.get(f"{V1}/budgets")).json()["items"] == []
    (budget,) = (await client.get(f"{V1}/budgets", params={"subject": "run"})).json()["items"]
    assert (budget["name"], budget["window"], budget["limit_usd"]) == (run_id, "run", 0.5)


async def test_budgets_come_page_by_page(client: httpx.AsyncClient) -> None:
    for name in ("a", "b", "c"):
        await make(client, subject="agent", name=name)

    first = (await client.get(f"{V1}/budgets", params={"limit": 2})).json()
    second = (await client.get(f"{V1}/budgets", params={"limit": 2, "cursor": first["next_cursor"]})).json()

    assert [item["name"] for item in [*first["items"], *second["items"]]] == ["a", "b", "c"]
    assert second["next_cursor"] is None


async def test_a_price_is_set_listed_and_removed(client: httpx.AsyncClient, moves: Moves) -> None:
    await spend(client, moves, None)
    price = {"provider": "groq", "model": "demo", "prompt_usd": 0.15, "completion_usd": 0.6}

    async def listed() -> dict[str, Any]:
        (found,) = (await client.get(f"{V1}/prices")).json()["items"]
        return dict(found)

    assert ((await listed())["source"], (await listed())["prompt_usd"]) == ("unknown", None)
    assert (await client.post(f"{V1}/prices", json=price)).status_code == 200
    assert (await client.post(f"{V1}/prices", json={**price, "prompt_usd": 0.2})).status_code == 200
    assert ((await listed())["source"], (await listed())["prompt_usd"]) == ("override", 0.2)
    which = {"provider": "groq", "model": "demo"}
    assert (await client.delete(f"{V1}/prices", params=which)).json() == {"removed": 1}
    require_problem(await client.delete(f"{V1}/prices", params=which), 404, "price_not_found")
