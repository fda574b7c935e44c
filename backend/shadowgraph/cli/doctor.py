"""`shadowgraph doctor`."""

from dataclasses import asdict, replace
from typing import Annotated

import typer

from shadowgraph.cli import lazy
from shadowgraph.cli.checks import check_machine
from shadowgraph.cli.command import Cli, command
from shadowgraph.cli.exits import ExitCode
from shadowgraph.core.logging import configure_logging
from shadowgraph.core.redaction import redact
from shadowgraph.core.settings import InvalidSetting

app = typer.Typer(add_completion=False, rich_markup_mode=None)


@command(app)
async def doctor(
    cli: Cli, live: Annotated[bool, typer.Option("--live", help="Also ask the provider whether the key works.")] = False
) -> ExitCode:
    """Check what Shadowgraph needs: one line each, with what mends it. Exit 3 when something fails.

    \b
      shadowgraph doctor
      shadowgraph doctor --live --json
    """
    configure_logging("CRITICAL", log_format="plain")
    try:
        loaded = cli.load()
    except InvalidSetting as error:
        cli.output.problem({"detail": f"FAIL  settings: {error.message}", "hint": error.hint, "code": error.code})
        return ExitCode.UNAVAILABLE
    found = [*check_machine(loaded), *await lazy.check_parts(loaded, is_live=live)]
    checks = [replace(check, what=redact(check.what), fix=redact(check.fix)) for check in found]
    is_well = all(check.level != "FAIL" for check in checks)
    if cli.output.as_json:
        cli.output.json({"ok": is_well, "checks": [asdict(check) for check in checks]})
    else:
        for check in checks:
            cli.output.text(check.line)
    return ExitCode.OK if is_well else ExitCode.UNAVAILABLE
