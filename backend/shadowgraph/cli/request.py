"""`shadowgraph request`: any route of the server."""

import json
import sys
from pathlib import Path
from typing import Annotated

import typer

from shadowgraph.cli.client import connect
from shadowgraph.cli.command import Cli, command
from shadowgraph.cli.options import Url
from shadowgraph.cli.problem import usage
from shadowgraph.cli.server import require_url
from shadowgraph.core.redaction import printable

app = typer.Typer(add_completion=False, rich_markup_mode=None)

METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE", "HEAD")


@command(app)
async def request(
    cli: Cli,
    method: Annotated[str, typer.Argument(metavar="METHOD", help=", ".join(METHODS), show_default=False)],
    path: Annotated[str, typer.Argument(metavar="PATH", help="Such as /runs?status=FAILED.", show_default=False)],
    data: Annotated[
        str | None, typer.Option("--data", metavar="JSON", help="The body; @FILE reads a file, - reads stdin.")
    ] = None,
    url: Url = None,
) -> None:
    """Send one raw request and print the answer's body as it comes.

    \b
      shadowgraph request GET '/runs?status=FAILED'
      shadowgraph request POST /runs --data '{"query": "Build a snake game"}'
    """
    if method.upper() not in METHODS:
        raise usage(f"{method!r} is no method", hint=", ".join(METHODS))
    if not path.startswith("/") or path.startswith("//"):
        raise usage(f"{path!r} is no path of the server", hint="it begins with one slash, such as /runs")
    body = None if data is None else _read_body(data)
    async with (
        connect(require_url(cli.load(url=url).settings)) as client,
        client.raw(method.upper(), path, body=body) as answer,
    ):
        async for chunk in answer.aiter_bytes():
            _write(chunk)
    if sys.stdout.isatty():
        cli.output.text("")


def _read_body(data: str) -> bytes:
    try:
        body = (
            sys.stdin.buffer.read()
            if data == "-"
            else Path(data[1:]).read_bytes()
            if data[:1] == "@"
            else data.encode()
        )
        json.loads(body)
    except (OSError, ValueError) as error:
        raise usage(f"--data is no JSON: {error}") from error
    return body


def _write(chunk: bytes) -> None:
    if sys.stdout.isatty():
        sys.stdout.write(printable(chunk.decode(errors="replace")))
    else:
        sys.stdout.buffer.write(chunk)
    sys.stdout.flush()
