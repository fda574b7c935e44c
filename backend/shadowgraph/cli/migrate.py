"""`shadowgraph migrate`."""

import typer

from shadowgraph.cli import lazy
from shadowgraph.cli.command import Cli, command
from shadowgraph.cli.serving import start_refusals
from shadowgraph.core.redaction import redact
from shadowgraph.core.settings import require_parts_fit

app = typer.Typer(add_completion=False, rich_markup_mode=None)


@command(app)
def migrate(cli: Cli) -> None:
    """Bring the database to this version's schema. `up` and `demo` do it by themselves; `api` and `worker` do not.

    \b
      DATABASE_URL=postgresql://localhost/shadowgraph shadowgraph migrate
    """
    settings = cli.load_aloud().settings
    with start_refusals():
        require_parts_fit(settings)
        revision = lazy.migrate(settings)
    database = redact(settings.effective_database_url)
    if cli.output.as_json:
        cli.output.json({"database": database, "revision": revision})
    else:
        cli.output.text(f"{database} is at revision {revision}")
