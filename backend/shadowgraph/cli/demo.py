"""`shadowgraph demo`. Says its first line before anything heavy is imported."""

from typing import Annotated

import typer

from shadowgraph.cli import lazy
from shadowgraph.cli.command import Cli, command
from shadowgraph.cli.exits import ExitCode

DEFAULT_REQUEST = "Build a snake game"

app = typer.Typer(add_completion=False, rich_markup_mode=None)


@command(app)
async def demo(
    cli: Cli,
    query: Annotated[str, typer.Argument(metavar="REQUEST", help="What the five agents are to do.")] = DEFAULT_REQUEST,
    live: Annotated[bool, typer.Option("--live", help="Use the real model of GROQ_API_KEY; costs money.")] = False,
) -> ExitCode:
    """Run the five agents once: no key, no server, no broker, whatever the environment says.

    \b
      shadowgraph demo
      shadowgraph demo "Build a REST API for managing books with title, author and year"
    """
    cli.output.note(f"demo: {query!r} by {'the real model' if live else 'the offline demo model (rule-based, no key)'}")
    return await lazy.play_demo(cli, query, is_live=live)
