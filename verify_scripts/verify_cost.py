"""Shows that numbers about money are right and that budgets stop. Needs no key and no running server: it starts its own, with the offline
model at a made-up price of a cent per call, in a folder that it removes again.

    python verify_scripts/verify_cost.py
"""

import contextlib
import json
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal
from pathlib import Path
from typing import Any

import httpx
from serving import Server, answers, check, finish, get, own_budget, usage, wait
from serving import start as start_run

CENT = Decimal("0.01")
GROUPINGS = ("agent", "model", "provider", "version", "workflow", "run", "owner", "day")


def serve(folder: Path, **settings: str) -> Server:
    return Server(folder, "--isolation", "none", **{"OFFLINE_MODEL": "price_usd_per_call=0.01", **settings})


def main() -> int:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        server = serve(folder)
        with server.running() as client:
            sums_agree(client, server)
            budget_stops_and_goes_on(client)
            many_at_once_do_not_overspend(client)
        worker_dies_in_the_middle_of_a_call(folder)
        journal_goes_on_without_cost_tracking(folder)
    sys.stdout.write("ok: all of it holds\n")
    return 0


def sums_agree(client: httpx.Client, server: Server) -> None:
    run = finish(client, start(client))
    check("a run of five calls costs five cents, and says that it is play money", usage(run) == (5 * CENT, "synthetic"))
    for by in GROUPINGS:
        report = get(client, "/costs", by=by)
        parts = sum(Decimal(str(group["cost_usd"])) for group in report["items"])
        check(f"by {by}: the groups add up to the total", parts == Decimal(str(report["total"]["cost_usd"])))
    shown = json.loads(server.command("costs", "--by", "agent", "--json").stdout)
    check("the command line and the API agree to the last digit", shown == get(client, "/costs", by="agent"))
    table = client.get("/costs", params={"by": "agent"}, headers={"Accept": "text/csv"}).text
    check("so does the CSV", table.splitlines()[-1].split(",")[8] == "0.05")


def budget_stops_and_goes_on(client: httpx.Client) -> None:
    run = finish(client, start(client, budget_usd=0.03))
    check("a run with a budget of three calls stops after three", usage(run) == (3 * CENT, "synthetic"))
    check("it says so", run["status"] == "BUDGET_EXCEEDED" and run["error"]["code"] == "budget_exceeded")
    refused = client.post(f"/runs/{run['id']}/resume")
    check("it cannot be resumed before the limit is raised", refused.json()["missing_usd"] == 0.01)
    client.patch(f"/budgets/{run['error']['budget_id']}", json={"limit_usd": 1}).raise_for_status()
    client.post(f"/runs/{run['id']}/resume").raise_for_status()
    ended = finish(client, run)
    check("then it goes on and pays no call twice", ended["status"] == "COMPLETED" and usage(ended)[0] == 5 * CENT)


def many_at_once_do_not_overspend(client: httpx.Client) -> None:
    spent = Decimal(str(get(client, "/costs")["total"]["cost_usd"]))
    limit = {"subject": "everything", "window": "total", "limit_usd": float(spent + 5 * CENT)}
    budget = client.post("/budgets", json=limit).raise_for_status().json()
    with ThreadPoolExecutor(20) as pool:
        runs = list(pool.map(lambda _: start(client), range(20)))
    stopped = [finish(client, run) for run in runs]
    total = Decimal(str(get(client, "/costs")["total"]["cost_usd"]))
    check("twenty runs at once: exactly five calls pass", total == spent + 5 * CENT)
    check("and all of them stop", {run["status"] for run in stopped} == {"BUDGET_EXCEEDED"})
    left = get(client, f"/budgets/{budget['id']}")
    check("nothing is held any more", (left["held_usd"], left["remaining_usd"]) == (0, 0))
    client.delete(f"/budgets/{budget['id']}").raise_for_status()
    for run in stopped:
        client.post(f"/runs/{run['id']}/cancel").raise_for_status()


def worker_dies_in_the_middle_of_a_call(folder: Path) -> None:
    deadly = serve(folder, SHADOWGRAPH_FAILPOINTS="llm.answer.received:planner=kill")
    with deadly.running() as client, contextlib.suppress(httpx.TransportError):
        start(client, budget_usd=1, metadata={"fate": "killed"})
        wait(lambda: not answers(client), "the worker to die")
    with serve(folder).running() as client:
        (run,) = get(client, "/runs", **{"metadata.fate": "killed"})["items"]
        ended = finish(client, run)
        costs = get(client, f"/runs/{run['id']}/costs")
        doubtful = [attempt for attempt in costs["attempts"] if attempt["status"] == "in_doubt"]
        check("after kill -9 in a call the run ends all the same", ended["status"] == "COMPLETED")
        check("the ledger explains the call", [item["tokens_source"] for item in doubtful] == ["estimated"])
        check("and its cent is booked", usage(ended)[0] == 6 * CENT)
        wait(lambda: own_budget(client, run)["held_usd"] == 0, "the money to be given back")
        check("nothing is held any more", Decimal(str(own_budget(client, run)["spent_usd"])) == 6 * CENT)


def journal_goes_on_without_cost_tracking(folder: Path) -> None:
    with serve(folder, COST_TRACKING_ENABLED="false").running() as client:
        check("without cost tracking sums are not shown", client.get("/costs").json()["code"] == "costs_disabled")
        export = get(client, f"/runs/{finish(client, start(client))['id']}/export.json")
        costs = {attempt["cost_usd"] for attempt in export["llm_attempts"]}
        check("what each call costs is written down all the same", costs == {0.01})


def start(client: httpx.Client, **options: object) -> dict[str, Any]:
    return start_run(client, query="Build a snake game", **options)


if __name__ == "__main__":
    sys.exit(main())
