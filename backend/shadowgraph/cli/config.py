"""`shadowgraph config show`."""

from typing import Any

from shadowgraph.cli.command import Cli, command
from shadowgraph.cli.groups import make_group
from shadowgraph.cli.options import Fields, split_fields
from shadowgraph.cli.output import pick
from shadowgraph.cli.tables import Column, lay_out
from shadowgraph.core.redaction import MASK, redact
from shadowgraph.core.settings import Loaded, variable_of

app = make_group("Show settings and where they come from.")

SECRETS = frozenset({"secret_key", "groq_api_key"})

COLUMNS = [
    Column("setting", lambda row: row["name"]),
    Column("from", lambda row: row["source"]),
    Column("value", lambda row: str(row["value"])),
]


@command(app)
def show(cli: Cli, fields: Fields = None) -> None:
    """Print every setting, its value and where it came from. Secrets are hidden."""
    loaded = cli.load()
    rows = describe_settings(loaded)
    if cli.output.as_json:
        settings = {row["name"]: {"value": row["value"], "source": row["source"]} for row in rows}
        cli.output.json(
            {
                "home": str(loaded.settings.home),
                "settings": pick(settings, split_fields(fields)),
                "warnings": loaded.warnings,
            }
        )
        return
    wanted = split_fields(fields)
    for line in lay_out([row for row in rows if wanted is None or row["name"] in wanted], COLUMNS, width=None):
        cli.output.text(line)
    for warning in loaded.warnings:
        cli.output.note(f"warning: {warning}")


def describe_settings(loaded: Loaded) -> list[dict[str, Any]]:
    """Secrets are told apart from empty ones, and never shown."""
    return [
        {
            "name": variable_of(name),
            "value": _shown(name, getattr(loaded.settings, name)),
            "source": loaded.sources[name],
        }
        for name in type(loaded.settings).model_fields
        if name != "home"
    ]


def _shown(name: str, value: Any) -> Any:
    if name in SECRETS:
        return MASK if value.get_secret_value() else ""
    if isinstance(value, bool | int | float):
        return value
    return redact(str(value))
