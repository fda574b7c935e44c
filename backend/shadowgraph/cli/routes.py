"""`shadowgraph routes …`: which models answer."""

from typing import Annotated

import typer

from shadowgraph.cli import lazy
from shadowgraph.cli.client import Json, connect, segment
from shadowgraph.cli.command import Cli, command
from shadowgraph.cli.exits import ExitCode
from shadowgraph.cli.groups import make_group
from shadowgraph.cli.options import Fields, JsonLines, Url, split_fields
from shadowgraph.cli.output import pick
from shadowgraph.cli.server import require_url
from shadowgraph.cli.tables import Column, lay_out, print_table
from shadowgraph.cli.telling import local_time, print_facts

app = make_group("Show and change which models answer, and try them.")

ROUTE_COLUMNS = [
    Column("route", lambda route: route["name"]),
    Column("number", lambda route: str(route["number"]), is_number=True),
    Column("answered by", lambda route: route["answered_by"] or "nobody"),
    Column("limit", lambda route: route["rate_limit"] or ""),
    Column("targets", lambda route: ", ".join(map(_short, route["targets"])), may_be_cut=True),
]
TARGET_COLUMNS = [
    Column("target", lambda target: target["model"]),
    Column("breaker", lambda target: target["breaker"]),
    Column("seconds", lambda target: f"{target['total_seconds']:g}" if target["total_seconds"] else "", is_number=True),
    Column("to be set up", lambda target: target["missing"] or "", may_be_cut=True),
]
TRIAL_COLUMNS = [
    Column("target", lambda trial: trial["model"]),
    Column("result", lambda trial: "ok" if trial["ok"] else "failed"),
    Column("seconds", lambda trial: f"{trial['seconds']:.2f}", is_number=True),
    Column("detail", lambda trial: trial["detail"], may_be_cut=True),
]

RouteName = Annotated[str, typer.Argument(metavar="NAME", help="As agents name it.")]


@command(app, "list")
async def list_routes(cli: Cli, fields: Fields = None, jsonl: JsonLines = False, url: Url = None) -> None:
    """List routes, and which model answers for each now. A target in brackets is not set up; one with ! is left alone by its breaker."""
    async with connect(require_url(cli.load(url=url).settings)) as client:
        found = await client.get("/routes")
    print_table(cli.output, found, ROUTE_COLUMNS, fields=split_fields(fields), as_json_lines=jsonl)


@command(app)
async def show(cli: Cli, name: RouteName, fields: Fields = None, url: Url = None) -> None:
    """Show a route's targets: what each lacks, and how its breaker is."""
    async with connect(require_url(cli.load(url=url).settings)) as client:
        route = await client.get(f"/routes/{segment(name)}")
    _tell(cli, route, split_fields(fields))


@command(app, "set")
async def set_route(
    cli: Cli,
    name: RouteName,
    targets: Annotated[
        list[str], typer.Argument(metavar="PROVIDER:MODEL...", help="In the order in which they are asked.")
    ],
    rate_limit: Annotated[
        str | None, typer.Option("--limit", metavar="RATE", help="Requests, such as 30/minute.")
    ] = None,
    seconds: Annotated[
        float | None, typer.Option("--seconds", metavar="S", help="For a whole answer of each target.")
    ] = None,
    is_strict: Annotated[
        bool, typer.Option("--fail-without-key", help="A target that is not set up ends the call.")
    ] = False,
    url: Url = None,
) -> None:
    """Say which models answer for a route. All processes follow within a second; calls under way end as they began.

    \b
      shadowgraph routes set default groq:openai/gpt-oss-120b openai_compatible:gpt-5-mini
      shadowgraph routes set cheap groq:openai/gpt-oss-20b --limit 30/minute
    """
    body = {
        "targets": [{"model": target, "total_seconds": seconds} for target in targets],
        "when_no_key": "fail" if is_strict else "skip",
        "rate_limit": rate_limit,
    }
    async with connect(require_url(cli.load(url=url).settings)) as client:
        route = await client.put(f"/routes/{segment(name)}", body)
    _tell(cli, route)


@command(app)
async def reset(cli: Cli, name: RouteName, url: Url = None) -> None:
    """Remove a route; the default one is then again as the settings say."""
    async with connect(require_url(cli.load(url=url).settings)) as client:
        removed = await client.delete(f"/routes/{segment(name)}")
    if cli.output.as_json:
        cli.output.json(removed)
    else:
        cli.output.note(f"the route {removed['name']} is reset")


@command(app, "test")
async def try_route(cli: Cli, name: RouteName = "default", url: Url = None) -> ExitCode:
    """Ask each target of a route one short question, from here and with the keys that are set here. Costs what such a question costs."""
    settings = cli.load(url=url).settings
    async with connect(require_url(settings)) as client:
        route = await client.get(f"/routes/{segment(name)}")
    trials = await lazy.try_targets(settings, [target["model"] for target in route["targets"]])
    print_table(cli.output, {"items": trials, "next_cursor": None}, TRIAL_COLUMNS)
    return ExitCode.OK if any(trial["ok"] for trial in trials) else ExitCode.UNAVAILABLE


def _tell(cli: Cli, route: Json, chosen: list[str] | None = None) -> None:
    if cli.output.as_json or chosen:
        cli.output.json(pick(route, chosen))
        return
    print_facts(
        cli,
        {
            "route": route["name"],
            "number": route["number"],
            "answered by": route["answered_by"] or "nobody",
            "without a key": "a target is skipped" if route["when_no_key"] == "skip" else "the call fails",
            "limit": route["rate_limit"] or "none of its own",
            "changed": f"{local_time(route['changed_at'])} by {route['changed_by']}"
            if route["changed_at"]
            else "never",
        },
    )
    cli.output.text("\n".join(["", *lay_out(route["targets"], TARGET_COLUMNS, width=None)]))


def _short(target: Json) -> str:
    name = target["model"] if target["breaker"] == "closed" else f"{target['model']}!"
    return name if target["set_up"] else f"[{name}]"
