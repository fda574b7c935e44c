"""How the commands say the same things in the same way."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from shadowgraph.cli.client import Json
from shadowgraph.cli.command import Cli

_ASKED = {"cancel": "cancelling", "pause": "pausing at the next node"}


def tell_state(cli: Cli, run: Json) -> None:
    """What a verb made of a run."""
    if cli.output.as_json:
        cli.output.json(run)
        return
    asked = _ASKED.get(str(run.get("control")))
    cli.output.text(f"{run['id']}  {run['status']}{f', {asked}' if asked else ''}")


def tell_more(cli: Cli, page: Json) -> None:
    if page["next_cursor"]:
        cli.output.note(f"more: --cursor {page['next_cursor']}")


def print_facts(cli: Cli, facts: Mapping[str, Any]) -> None:
    """One line each; what is not known is left out."""
    for name, value in facts.items():
        if value is not None:
            cli.output.text(f"{name:<9} {value}")


def local_time(moment: str) -> str:
    return f"{datetime.fromisoformat(moment).astimezone():%Y-%m-%d %H:%M:%S}"


def seconds_taken(thing: Json) -> str:
    """Of a run or step that has ended; else empty."""
    if not thing.get("started_at") or not thing.get("finished_at"):
        return ""
    taken = datetime.fromisoformat(thing["finished_at"]) - datetime.fromisoformat(thing["started_at"])
    return f"{taken.total_seconds():.1f}"
