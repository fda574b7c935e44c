"""`shadowgraph costs`."""

from typing import Annotated, get_args

import typer

from shadowgraph.cli.client import Client, Json, connect, segment
from shadowgraph.cli.command import Cli, command
from shadowgraph.cli.moments import moment_of
from shadowgraph.cli.money import usd
from shadowgraph.cli.options import Fields, JsonLines, Url, split_fields
from shadowgraph.cli.output import pick
from shadowgraph.cli.problem import usage
from shadowgraph.cli.server import require_url
from shadowgraph.cli.tables import Column, lay_out, print_table
from shadowgraph.cli.telling import print_facts
from shadowgraph.core.clock import SystemClock
from shadowgraph.costs.grouping import GroupBy

app = typer.Typer(add_completion=False, rich_markup_mode=None)

GROUPINGS: tuple[str, ...] = get_args(GroupBy)
SUM_COLUMNS = [
    Column("calls", lambda group: str(group["calls"]), is_number=True),
    Column("requests", lambda group: str(group["attempts"]), is_number=True),
    Column("tokens in", lambda group: str(group["prompt_tokens"]), is_number=True),
    Column("tokens out", lambda group: str(group["completion_tokens"]), is_number=True),
    Column("USD", lambda group: usd(group["cost_usd"]), is_number=True),
    Column("", lambda group: group["cost_state"] if group["cost_state"] != "exact" else ""),
]
FORECAST_COLUMNS = [
    Column("workflow", lambda like: like["workflow"]),
    Column("runs", lambda like: str(like["runs"]), is_number=True),
    Column("half cost up to", lambda like: usd(like["p50_usd"]), is_number=True),
    Column("95 % up to", lambda like: usd(like["p95_usd"]), is_number=True),
]


@command(app)
async def costs(
    cli: Cli,
    by: Annotated[str, typer.Option("--by", metavar="WHAT", help=f"One of {', '.join(GROUPINGS)}.")] = "agent",
    since: Annotated[
        str | None, typer.Option("--since", metavar="AGE", help="30m, 24h, 30d, or a time (RFC 3339).")
    ] = None,
    until: Annotated[
        str | None, typer.Option("--until", metavar="AGE", help="The same; requests that began before it.")
    ] = None,
    limit: Annotated[int, typer.Option("--limit", min=1, max=500, metavar="N", help="Groups.")] = 100,
    run: Annotated[str | None, typer.Option("--run", metavar="RUN_ID", help="One run, with its budgets.")] = None,
    forecast: Annotated[bool, typer.Option("--forecast", help="What this month will have cost.")] = False,
    as_csv: Annotated[bool, typer.Option("--csv", help="All groups as CSV.")] = False,
    fields: Fields = None,
    jsonl: JsonLines = False,
    url: Url = None,
) -> None:
    """Sum up what calls cost. For every grouping the groups add up to the total; an unknown cost is never counted as 0.

    \b
      shadowgraph costs --by agent --since 30d
      shadowgraph costs --by day --since 7d --csv > costs.csv
      shadowgraph costs --run RUN_ID
    """
    if by not in GROUPINGS:
        raise usage(f"--by {by} is not known", hint=f"one of {', '.join(GROUPINGS)}")
    clock = SystemClock()
    window = {"from": moment_of(since, "--since", clock=clock), "to": moment_of(until, "--until", clock=clock)}
    async with connect(require_url(cli.load(url=url).settings)) as client:
        if forecast:
            _tell_forecast(cli, await client.get("/costs/forecast"))
        elif run is not None:
            _tell_run(cli, await client.get(f"/runs/{segment(run)}/costs"), split_fields(fields))
        elif as_csv:
            await _print_csv(cli, client, by=by, window=window)
        else:
            report = await client.get("/costs", by=by, limit=limit, **window)
            _tell_report(cli, report, fields=split_fields(fields), as_json_lines=jsonl)


def _tell_report(cli: Cli, report: Json, *, fields: list[str] | None, as_json_lines: bool) -> None:
    if cli.output.as_json and fields is None:
        cli.output.json(report)
        return
    columns = [Column(report["by"], lambda group: group["key"] or "–"), *SUM_COLUMNS]
    print_table(
        cli.output, {"items": report["items"], "next_cursor": None}, columns, fields=fields, as_json_lines=as_json_lines
    )
    if as_json_lines or fields is not None:
        return
    if report["rest"]:
        cli.output.text(f"others: {report['rest']['summary']}")
    cli.output.text(f"total: {report['total']['summary']}")


async def _print_csv(cli: Cli, client: Client, *, by: str, window: dict[str, str | None]) -> None:
    cli.output.bytes(await client.get_bytes("/costs", by=by, format="csv", **window))


def _tell_run(cli: Cli, found: Json, fields: list[str] | None) -> None:
    if cli.output.as_json or fields is not None:
        cli.output.json(pick(found, fields))
        return
    print_facts(cli, {"run": found["run_id"], "cost": found["total"]["summary"]})
    for budget in found["budgets"]:
        whose = budget["subject"] if budget["name"] is None else f"{budget['subject']} {budget['name']}"
        left = f"${usd(budget['remaining_usd'])} of ${usd(budget['limit_usd'])} left"
        print_facts(cli, {"budget": f"{whose}, per {budget['window']}: {left} ({budget['budget_id']})"})
    for title, groups in (("agent", found["agents"]), ("model", found["models"])):
        if groups:
            cli.output.text("")
            for line in lay_out(groups, [Column(title, lambda group: group["key"]), *SUM_COLUMNS], width=None):
                cli.output.text(line)


def _tell_forecast(cli: Cli, forecast: Json) -> None:
    if cli.output.as_json:
        cli.output.json(forecast)
        return
    facts = {
        "month": forecast["month"],
        "so far": forecast["so_far"]["summary"],
        "per day": f"${usd(forecast['per_day_usd'])}",
        "projected": f"${usd(forecast['projected_usd'])}",
    }
    print_facts(cli, facts)
    if forecast["workflows"]:
        cli.output.text("")
        for line in lay_out(forecast["workflows"], FORECAST_COLUMNS, width=None):
            cli.output.text(line)
