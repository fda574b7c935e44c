"""Shows that a sick provider does not take the service down, that a worker may die in the middle of a call, and that budgets stop.
Needs no key and no running server: it starts a provider that fails on demand and servers of its own, in a folder that it removes again.
It takes three quarters of a minute, because a breaker really stays open for 30 seconds.

    python verify_scripts/verify_reliability.py
"""

import sys
import tempfile
from datetime import datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import httpx
from provider import Provider
from serving import Server, check, finish, get, own_budget, start, usage, wait

PROJECT = Path(__file__).parent / "asking"
CENT = Decimal("0.01")
WORKERS = 2
FAILURES = 5
OPEN_SECONDS = 30
SEEN_SECONDS = 1.0
RETRY_AFTER = 120
SICK, ILL, BUSY, WELL = "sick", "ill", "busy", "well"
"""Models of the provider: 500 until it is mended, 500 always, 429, and one that answers."""


def main() -> int:
    with tempfile.TemporaryDirectory() as name, Provider().serving() as provider:
        folders = [Path(name) / "provider", Path(name) / "offline"]
        for folder in folders:
            folder.mkdir()
        provider.refusing = {SICK: (500, {}), ILL: (500, {}), BUSY: (429, {"Retry-After": str(RETRY_AFTER)})}
        with served(folders[0], provider).running() as client:
            waiting, opened = breaker_opens(client, provider)
            del provider.refusing[SICK]
            with provider.holding(SICK):  # mended, but the probe shall wait until somebody looks
                other_targets_answer(client)
                no_worker_sleeps(client, provider)
                worker_dies_in_the_middle_of_a_call(folders[1])
                budget_of_five_calls(folders[1])
                one_call_probes(client, provider, waiting, opened)
            its_success_closes_the_breaker(client, waiting)
    sys.stdout.write("ok: all of it holds\n")
    return 0


def served(folder: Path, provider: Provider) -> Server:
    """Two worker processes, for one run each at a time."""
    keys = {"GROQ_API_KEY": "none", "GROQ_BASE_URL": provider.url, "WORKER_SLOTS": "1"}
    return Server(folder, "--project", str(PROJECT), "--workers", str(WORKERS), **keys)


def offline(folder: Path, **knobs: str) -> Server:
    """One process, with the offline model at a cent of play money per call."""
    said = "&".join(f"{name}={value}" for name, value in {"price_usd_per_call": "0.01", **knobs}.items())
    return Server(folder, "--project", str(PROJECT), "--isolation", "none", OFFLINE_MODEL=said)


def breaker_opens(client: httpx.Client, provider: Provider) -> tuple[list[dict[str, Any]], float]:
    """The runs that wait for it, and when it opened."""
    first = parked(client, ask(client, f"groq:{SICK}"), "circuit_open")
    breaker = breaker_of(client, SICK)
    opened = datetime.fromisoformat(breaker["changed_at"]).timestamp()
    others = [ask(client, f"groq:{SICK}") for _ in range(5 * WORKERS)]
    elsewhere = [
        run for run in others if worker_of(client, parked(client, run, "circuit_open")) != worker_of(client, first)
    ]
    check("other workers take runs meanwhile", len(elsewhere) > 0, f"{len(elsewhere)} of {len(others)}")
    check("five answers with status 500 open the breaker", breaker["failures"] == FAILURES, f"{FAILURES} in a row")
    told = events(client, first, "run.parked")[0]["data"]
    check("the run is parked, and says why and until when", told["reason"] == "circuit_open", f"until {told['until']}")
    known = min(datetime.fromisoformat(events(client, run, "run.parked")[0]["at"]).timestamp() for run in elsewhere)
    late = [at for at, model in provider.asked if model == SICK and at > opened + SEEN_SECONDS]
    check(
        "another worker process leaves it alone within a second", not late, f"known there after {known - opened:.2f} s"
    )
    return [first, *others], opened


def other_targets_answer(client: httpx.Client) -> None:
    targets = [{"model": f"groq:{model}"} for model in (ILL, WELL)]
    client.put("/routes/pair", json={"targets": targets}).raise_for_status()
    run = finish(client, ask(client, "pair"))
    attempts = get(client, f"/runs/{run['id']}/costs")["attempts"]
    seen = [f"{attempt['model']} {attempt['status']}" for attempt in attempts]
    failed_over = run["status"] == "COMPLETED" and seen == [f"{ILL} failed", f"{ILL} failed", f"{WELL} done"]
    check("a call goes on to the next target of its route", failed_over, ", ".join(seen))


def no_worker_sleeps(client: httpx.Client, provider: Provider) -> None:
    busy = [ask(client, f"groq:{BUSY}") for _ in range(2 * WORKERS)]
    delays = [delay_of(client, parked(client, run, "rate_limited")) for run in busy]
    check(
        f"with Retry-After: {RETRY_AFTER} runs wait in the queue", min(delays) > RETRY_AFTER - 5, f"{min(delays):.1f} s"
    )
    asked = provider.times_asked(BUSY)
    check("each process asks once at most", asked <= WORKERS, f"{asked} requests of {len(busy)} runs")
    others = [finish(client, ask(client, f"groq:{WELL}")) for _ in range(2 * WORKERS)]
    done = sum(run["status"] == "COMPLETED" for run in others)
    check("no worker sleeps: other runs go on", done == len(others), f"{done} of {len(others)} in one slot each")


def worker_dies_in_the_middle_of_a_call(folder: Path) -> None:
    dying = offline(folder, latency_ms="600000")
    with dying.running() as client:
        run = ask(client, "default", calls=2, budget_usd=1)
        held = wait(lambda: own_budget(client, run)["held_usd"], "money to be held for the call")
        dying.kill()
    with offline(folder).running() as client:
        ended = finish(client, run)
        check("after kill -9 in a call the run ends all the same", ended["status"] == "COMPLETED")
        attempts = get(client, f"/runs/{run['id']}/costs")["attempts"]
        seen = [f"{attempt['status']}, tokens {attempt['tokens_source']}" for attempt in attempts]
        check("the ledger explains the call", sum(text.startswith("in_doubt") for text in seen) == 1, "; ".join(seen))
        wait(lambda: own_budget(client, run)["held_usd"] == 0, "the money to be given back")
        spent = Decimal(str(own_budget(client, run)["spent_usd"]))
        agrees = spent == usage(ended)[0] == 3 * CENT
        check("nothing is held any more, and its cent is booked", agrees, f"held ${held} then, $0 now; ${spent} spent")


def budget_of_five_calls(folder: Path) -> None:
    with offline(folder).running() as client:
        run = finish(client, ask(client, "default", calls=7, budget_usd=0.05))
        made = get(client, f"/runs/{run['id']}/costs")["total"]["attempts"]
        check(
            "a budget of five calls stops after five", (run["status"], made) == ("BUDGET_EXCEEDED", 5), f"{made} calls"
        )
        check("the run says so", run["error"]["code"] == "budget_exceeded", run["error"]["detail"])
        refused = client.post(f"/runs/{run['id']}/resume")
        check("it cannot go on before the limit is raised", refused.status_code == httpx.codes.CONFLICT)
        client.patch(f"/budgets/{run['error']['budget_id']}", json={"limit_usd": 1}).raise_for_status()
        client.post(f"/runs/{run['id']}/resume").raise_for_status()
        ended = finish(client, run)
        made = get(client, f"/runs/{run['id']}/costs")["total"]["attempts"]
        went_on = (ended["status"], made, usage(ended)[0]) == ("COMPLETED", 7, 7 * CENT)
        check("then it goes on where it stopped, and pays no call twice", went_on, f"{made} calls, ${usage(ended)[0]}")


def one_call_probes(client: httpx.Client, provider: Provider, waiting: list[dict[str, Any]], opened: float) -> None:
    wait(lambda: provider.times_asked(SICK) > FAILURES, "the probe")
    wait(lambda: any(len(events(client, run, "run.parked")) > 1 for run in waiting), "another run to be refused")
    later = [at - opened for at, model in provider.asked if model == SICK and at > opened + SEEN_SECONDS]
    check("while the breaker is open nobody asks", min(later) >= OPEN_SECONDS - 1, f"for {min(later):.1f} s")
    check("then one call of all workers probes", len(later) == 1, f"{len(later)}, and {len(waiting)} runs wait")


def its_success_closes_the_breaker(client: httpx.Client, waiting: list[dict[str, Any]]) -> None:
    ended = [finish(client, run)["status"] for run in waiting]
    check("its success closes the breaker", breaker_of(client, SICK)["state"] == "closed")
    check("and the runs that waited end well", set(ended) == {"COMPLETED"}, f"{len(ended)} runs")


def ask(client: httpx.Client, model: str, *, calls: int = 1, **options: object) -> dict[str, Any]:
    return start(client, workflow="asking", input={"model": model, "calls": calls}, **options)


def parked(client: httpx.Client, run: dict[str, Any], reason: str) -> dict[str, Any]:
    def is_parked() -> bool:
        seen = get(client, f"/runs/{run['id']}")
        return (seen["status"], seen["reason"]) == ("QUEUED", reason)

    wait(is_parked, f"run {run['id']} to be parked")
    return run


def delay_of(client: httpx.Client, run: dict[str, Any]) -> float:
    return float(events(client, run, "run.parked")[0]["data"]["delay_ms"]) / 1000


def worker_of(client: httpx.Client, run: dict[str, Any]) -> str:
    return str(events(client, run, "run.started")[0]["data"]["worker"])


def events(client: httpx.Client, run: dict[str, Any], kind: str) -> list[dict[str, Any]]:
    return [event for event in get(client, f"/runs/{run['id']}/events")["items"] if event["type"] == kind]


def breaker_of(client: httpx.Client, model: str) -> dict[str, Any]:
    return next(breaker for breaker in get(client, "/health/breakers")["items"] if breaker["model"] == model)


if __name__ == "__main__":
    sys.exit(main())
