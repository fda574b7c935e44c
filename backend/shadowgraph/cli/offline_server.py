"""`shadowgraph offline-server`."""

import typer

from shadowgraph.cli import lazy
from shadowgraph.cli.command import Cli, command
from shadowgraph.cli.options import Port
from shadowgraph.cli.serving import serve_until_stopped, with_free_port

app = typer.Typer(add_completion=False, rich_markup_mode=None)


@command(app)
async def offline_server(cli: Cli, port: Port = None) -> None:
    """Serve the offline demo model over HTTP, in the shape of Groq's API. OFFLINE_MODEL sets its knobs.

    \b
      shadowgraph offline-server --port 9001
      GROQ_API_KEY=any GROQ_BASE_URL=http://127.0.0.1:9001 shadowgraph up
    """
    settings = with_free_port(cli.load_aloud(port=port))

    def tell(url: str) -> None:
        cli.output.json({"url": url}) if cli.output.as_json else cli.output.text(
            f"the offline model answers at {url}; point GROQ_BASE_URL there"
        )

    await serve_until_stopped(settings, lambda: lazy.serve_offline(settings, on_ready=tell))
