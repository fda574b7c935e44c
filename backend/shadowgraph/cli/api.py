"""`shadowgraph api`."""

import typer

from shadowgraph.cli import lazy
from shadowgraph.cli.command import Cli, command
from shadowgraph.cli.options import Host, Port
from shadowgraph.cli.serving import serve_until_stopped

app = typer.Typer(add_completion=False, rich_markup_mode=None)


@command(app)
async def api(cli: Cli, port: Port = None, host: Host = None) -> None:
    """Start the HTTP API alone, beside workers of their own. Needs PostgreSQL.

    \b
      shadowgraph migrate && shadowgraph api
    """
    settings = cli.load_aloud(port=port, host=host).settings

    def tell(url: str) -> None:
        cli.output.json({"url": url}) if cli.output.as_json else cli.output.text(f"the API is up at {url}")

    await serve_until_stopped(settings, lambda: lazy.serve_api(settings, on_ready=tell))
