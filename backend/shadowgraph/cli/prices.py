"""`shadowgraph prices …`: what models cost."""

from typing import Annotated

import typer

from shadowgraph.cli.client import Json, connect
from shadowgraph.cli.command import Cli, command
from shadowgraph.cli.groups import make_group
from shadowgraph.cli.moments import moment_of
from shadowgraph.cli.money import usd
from shadowgraph.cli.options import Fields, JsonLines, Url, split_fields
from shadowgraph.cli.problem import usage
from shadowgraph.cli.server import require_url
from shadowgraph.cli.tables import Column, print_table
from shadowgraph.cli.telling import local_time
from shadowgraph.core.clock import SystemClock

app = make_group("List, set and remove prices.")

COLUMNS = [
    Column("model", lambda price: f"{price['provider']}:{price['model']}"),
    Column("prompt", lambda price: usd(price["prompt_usd"]), is_number=True),
    Column("cached", lambda price: "" if price["cached_usd"] is None else usd(price["cached_usd"]), is_number=True),
    Column("completion", lambda price: usd(price["completion_usd"]), is_number=True),
    Column("call", lambda price: usd(price["call_usd"]) if price["call_usd"] else "", is_number=True),
    Column("from", lambda price: local_time(price["valid_from"]) if price["valid_from"] else ""),
    Column("source", lambda price: price["source"]),
]

Model = Annotated[
    str, typer.Argument(metavar="PROVIDER:MODEL", help="Such as groq:openai/gpt-oss-120b.", show_default=False)
]


@command(app, "list")
async def list_prices(cli: Cli, fields: Fields = None, jsonl: JsonLines = False, url: Url = None) -> None:
    """List prices in USD per million tokens: those that people set, and those of the models of the last 30 days. `?`: unknown."""
    async with connect(require_url(cli.load(url=url).settings)) as client:
        found = await client.get("/prices")
    print_table(cli.output, found, COLUMNS, fields=split_fields(fields), as_json_lines=jsonl)


@command(app, "set")
async def set_price(
    cli: Cli,
    model: Model,
    prompt: Annotated[float, typer.Option("--prompt", min=0, metavar="USD", help="Per million tokens of the prompt.")],
    completion: Annotated[
        float, typer.Option("--completion", min=0, metavar="USD", help="Per million tokens of the answer.")
    ],
    cached: Annotated[
        float | None,
        typer.Option("--cached", min=0, metavar="USD", help="Per million tokens that the provider had in its cache."),
    ] = None,
    call: Annotated[float, typer.Option("--call", min=0, metavar="USD", help="Per call, beside its tokens.")] = 0,
    since: Annotated[
        str | None, typer.Option("--from", metavar="TIME", help="Only for requests from then on (RFC 3339).")
    ] = None,
    url: Url = None,
) -> None:
    """Set what a model costs; 0 for one of your own. It wins over the price list and over what the provider reports.

    \b
      shadowgraph prices set openai_compatible:llama3 --prompt 0 --completion 0
    """
    provider, name = _split(model)
    body = {
        "provider": provider,
        "model": name,
        "prompt_usd": prompt,
        "completion_usd": completion,
        "cached_usd": cached,
        "call_usd": call,
        "valid_from": moment_of(since, "--from", clock=SystemClock()),
    }
    async with connect(require_url(cli.load(url=url).settings)) as client:
        price = await client.post("/prices", body)
    _tell(cli, price)


@command(app)
async def remove(cli: Cli, model: Model, url: Url = None) -> None:
    """Remove what people set for a model; the price list holds again."""
    provider, name = _split(model)
    async with connect(require_url(cli.load(url=url).settings)) as client:
        removed = await client.delete("/prices", provider=provider, model=name)
    cli.output.json(removed) if cli.output.as_json else cli.output.text(f"{model}  removed")


def _split(model: str) -> tuple[str, str]:
    provider, colon, name = model.partition(":")
    if not (provider and colon and name):
        raise usage(f"{model!r} is no model", hint="write provider:model, such as groq:openai/gpt-oss-120b")
    return provider, name


def _tell(cli: Cli, price: Json) -> None:
    if cli.output.as_json:
        cli.output.json(price)
        return
    amounts = f"${usd(price['prompt_usd'])} in, ${usd(price['completion_usd'])} out per million tokens"
    cli.output.text(f"{price['provider']}:{price['model']}  {amounts}")
