"""`shadowgraph budgets …`: limits that stop."""

from typing import Annotated, get_args

import typer

from shadowgraph.cli.client import Json, connect, segment
from shadowgraph.cli.command import Cli, command
from shadowgraph.cli.groups import make_group
from shadowgraph.cli.money import usd
from shadowgraph.cli.options import Cursor, Fields, JsonLines, Limit, Url, split_fields
from shadowgraph.cli.problem import usage
from shadowgraph.cli.server import require_url
from shadowgraph.cli.tables import Column, print_table
from shadowgraph.cli.telling import tell_more
from shadowgraph.costs.grouping import Action, Subject, Window

app = make_group("List, set and remove budgets.")

SUBJECTS: tuple[str, ...] = get_args(Subject)
WINDOWS: tuple[str, ...] = get_args(Window)
ACTIONS: tuple[str, ...] = get_args(Action)

COLUMNS = [
    Column("id", lambda budget: budget["id"]),
    Column("of", lambda budget: _whose(budget)),
    Column("per", lambda budget: budget["window"]),
    Column("limit", lambda budget: usd(budget["limit_usd"]), is_number=True),
    Column("spent", lambda budget: _own(budget, "spent_usd"), is_number=True),
    Column("held", lambda budget: _own(budget, "held_usd"), is_number=True),
    Column("left", lambda budget: _own(budget, "remaining_usd"), is_number=True),
    Column("then", lambda budget: budget["action"]),
]

BudgetId = Annotated[str, typer.Argument(metavar="BUDGET_ID", help="As `budgets list` prints it.", show_default=False)]


@command(app, "list")
async def list_budgets(
    cli: Cli,
    subject: Annotated[
        str | None, typer.Option("--subject", metavar="WHAT", help=f"Only of one of {', '.join(SUBJECTS)}.")
    ] = None,
    limit: Limit = 100,
    cursor: Cursor = None,
    fields: Fields = None,
    jsonl: JsonLines = False,
    url: Url = None,
) -> None:
    """List budgets, and what is left of them in the period of now. Those of single runs come with `--subject run` only."""
    async with connect(require_url(cli.load(url=url).settings)) as client:
        page = await client.get("/budgets", subject=subject, limit=limit, cursor=cursor)
    print_table(cli.output, page, COLUMNS, fields=split_fields(fields), as_json_lines=jsonl)
    tell_more(cli, page)


@command(app, "set")
async def set_budget(
    cli: Cli,
    limit_usd: Annotated[float | None, typer.Option("--limit", min=0, metavar="USD", help="What may be spent.")] = None,
    subject: Annotated[
        str, typer.Option("--subject", metavar="WHAT", help=f"One of {', '.join(SUBJECTS)}.")
    ] = "everything",
    name: Annotated[
        str | None,
        typer.Option("--name", metavar="NAME", help="Which run, agent, workflow, version, owner or provider."),
    ] = None,
    window: Annotated[str, typer.Option("--per", metavar="WINDOW", help=f"One of {', '.join(WINDOWS)}.")] = "month",
    action: Annotated[
        str | None, typer.Option("--then", metavar="ACTION", help=f"One of {', '.join(ACTIONS)}; pause unless given.")
    ] = None,
    budget_id: Annotated[
        str | None, typer.Option("--id", metavar="BUDGET_ID", help="Change this one instead of making another.")
    ] = None,
    url: Url = None,
) -> None:
    """Make a budget, or change the one with this subject, name, window and action.

    \b
      shadowgraph budgets set --limit 50
      shadowgraph budgets set --subject workflow --name pipeline --per run --limit 0.5
      shadowgraph budgets set --id BUDGET_ID --limit 75
    """
    change = {name: value for name, value in (("limit_usd", limit_usd), ("action", action)) if value is not None}
    async with connect(require_url(cli.load(url=url).settings)) as client:
        if budget_id is not None:
            budget = await client.patch(f"/budgets/{segment(budget_id)}", change)
        elif limit_usd is None:
            raise usage("--limit is missing", hint="shadowgraph budgets set --limit 50")
        else:
            what = {"subject": subject, "name": name, "window": window, "action": action or "pause"}
            there = await client.list_all("/budgets", subject=subject, name=name)
            known = next((item for item in there if all(item[key] == value for key, value in what.items())), None)
            budget = (
                await client.patch(f"/budgets/{known['id']}", change)
                if known
                else await client.post("/budgets", {**what, "limit_usd": limit_usd})
            )
    _tell(cli, budget)


@command(app)
async def remove(cli: Cli, budget_id: BudgetId, url: Url = None) -> None:
    """Remove a budget: it limits nothing any more. What was spent stays in the sums."""
    async with connect(require_url(cli.load(url=url).settings)) as client:
        removed = await client.delete(f"/budgets/{segment(budget_id)}")
    cli.output.json(removed) if cli.output.as_json else cli.output.text(f"{removed['id']}  removed")


def _tell(cli: Cli, budget: Json) -> None:
    if cli.output.as_json:
        cli.output.json(budget)
        return
    limit = f"${usd(budget['limit_usd'])} per {budget['window']}"
    cli.output.text(f"{budget['id']}  {_whose(budget)}, {limit}, then {budget['action']}")


def _whose(budget: Json) -> str:
    return budget["subject"] if budget["name"] is None else f"{budget['subject']} {budget['name']}"


def _own(budget: Json, field: str) -> str:
    """Empty: each run has its own."""
    return "" if budget[field] is None else usd(budget[field])
