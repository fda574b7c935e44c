"""`shadowgraph approvals …`: questions of runs that wait for a person."""

import json
from typing import Annotated, Any

import typer

from shadowgraph.cli.answering import answer_command, approval, ask_value, context_of, question_text
from shadowgraph.cli.client import Client, Json, connect, segment
from shadowgraph.cli.command import Cli, command
from shadowgraph.cli.groups import make_group
from shadowgraph.cli.options import Cursor, Fields, JsonLines, Limit, Url, split_fields
from shadowgraph.cli.output import pick
from shadowgraph.cli.problem import usage
from shadowgraph.cli.server import require_url
from shadowgraph.cli.tables import Column, print_table
from shadowgraph.cli.telling import local_time, print_facts, tell_more, tell_state

app = make_group("Answer the questions of runs that wait for a person.")

COLUMNS = [
    Column("id", lambda item: item["id"]),
    Column("status", lambda item: item["status"]),
    Column("run", lambda item: item["run_id"]),
    Column("node", lambda item: item["node"] or ""),
    Column("until", lambda item: local_time(item["deadline_at"])),
    Column("question", question_text, may_be_cut=True),
]

InteractionId = Annotated[
    str, typer.Argument(metavar="ID", help="As `approvals list` prints it; or the run's id.", show_default=False)
]


@command(app, "list")
async def list_approvals(
    cli: Cli,
    status: Annotated[
        list[str] | None,
        typer.Option("--status", metavar="STATE", help="open (the default), answered, expired, closed; repeatable."),
    ] = None,
    workflow: Annotated[str | None, typer.Option("--workflow", metavar="NAME")] = None,
    run_id: Annotated[str | None, typer.Option("--run", metavar="RUN_ID")] = None,
    limit: Limit = 20,
    cursor: Cursor = None,
    fields: Fields = None,
    jsonl: JsonLines = False,
    url: Url = None,
) -> None:
    """List what waits for an answer; who waits longest comes first.

    \b
      shadowgraph approvals list
      shadowgraph approvals list --status answered --fields id,who,answer
    """
    filters = {"status": status, "workflow": workflow, "run_id": run_id, "limit": limit, "cursor": cursor}
    async with connect(require_url(cli.load(url=url).settings)) as client:
        page = await client.get("/interactions", **filters)
    print_table(cli.output, page, COLUMNS, fields=split_fields(fields), as_json_lines=jsonl)
    tell_more(cli, page)


@command(app)
async def show(cli: Cli, interaction_id: InteractionId, fields: Fields = None, url: Url = None) -> None:
    """Show a question, what fits it, and how to answer it."""
    async with connect(require_url(cli.load(url=url).settings)) as client:
        found = await _find(client, interaction_id)
    chosen = split_fields(fields)
    if cli.output.as_json or chosen:
        cli.output.json(pick(found, chosen))
        return
    print_facts(cli, _facts(found))
    if found["status"] == "open":
        cli.output.note(f"answer it: {answer_command(found)}")


@command(app)
async def answer(
    cli: Cli,
    interaction_id: InteractionId,
    value: Annotated[str | None, typer.Option("--value", metavar="JSON", help="The answer.")] = None,
    text: Annotated[str | None, typer.Option("--text", metavar="TEXT", help="The answer, as it is.")] = None,
    is_no: Annotated[bool, typer.Option("--no", "-n", help="No; --yes is yes.")] = False,
    url: Url = None,
) -> None:
    """Answer a question; its run goes on.

    \b
      shadowgraph approvals answer ID --yes
      shadowgraph approvals answer ID --value '{"approved": false, "why": "too long"}'
      shadowgraph approvals answer ID --text repeat

    Without an answer it is asked for on the terminal. An answer is used once.
    """
    given = [value is not None, text is not None, is_no, cli.assume_yes]
    if sum(given) > 1:
        raise usage("give one answer: --value, --text, --yes or --no")
    if not any(given) and not cli.may_ask():
        raise usage("there is no answer", hint="--value JSON, --text TEXT, --yes or --no")
    async with connect(require_url(cli.load(url=url).settings)) as client:
        found = await _find(client, interaction_id)
        chosen = _value(cli, found, value=value, text=text, is_no=is_no)
        body = {"interaction_id": found["id"], "value": chosen}
        run = await client.post(f"/runs/{segment(found['run_id'])}/answer", body)
    tell_state(cli, run)


async def _find(client: Client, interaction_id: str) -> Json:
    """By its own id, or by that of a run that asks exactly one question.

    Errors: `CommandFailed`.
    """
    if not interaction_id.startswith("run_"):
        return await client.get(f"/interactions/{segment(interaction_id)}")
    run = await client.get_run(interaction_id)
    asked: list[Json] = run.get("interactions") or []
    if len(asked) != 1:
        how_many = f"{len(asked)} open questions" if asked else "no open question"
        hint = f"name one: {', '.join(item['id'] for item in asked)}" if asked else None
        raise usage(f"{interaction_id} has {how_many}", hint=hint)
    return asked[0]


def _value(cli: Cli, found: Json, *, value: str | None, text: str | None, is_no: bool) -> Any:
    if value is not None:
        return _parse(value)
    if text is not None:
        return text
    if is_no or cli.assume_yes:
        return approval(found.get("schema"), approved=not is_no)
    print_facts(cli, _facts(found))
    return ask_value(found.get("schema"), "answer")


def _parse(value: str) -> Any:
    try:
        return json.loads(value)
    except ValueError as error:
        raise usage(f"--value is no JSON: {error}", hint="--text takes plain text") from error


def _facts(found: Json) -> dict[str, Any]:
    schema, default = found.get("schema"), found.get("default")
    facts = {
        "id": found["id"],
        "run": found["run_id"],
        "node": found["node"],
        "status": found["status"],
        "question": question_text(found),
        **{name: _short(value) for name, value in context_of(found).items() if name not in found},
        "until": local_time(found["deadline_at"]),
        "then": json.dumps(default, ensure_ascii=False) if found["has_default"] else "the run fails",
        "fits": json.dumps(schema, ensure_ascii=False) if schema else "any JSON",
    }
    if found["status"] == "answered":
        facts |= {"answer": json.dumps(found["answer"], ensure_ascii=False), "by": found["who"]}
    return facts


def _short(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
