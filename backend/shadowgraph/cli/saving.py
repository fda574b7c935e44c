"""Puts a run's files into a folder of the user's, with their consent where something stands there already."""

from collections.abc import Sequence
from pathlib import Path

from shadowgraph.cli.command import Cli
from shadowgraph.cli.files import File, changed_files, write_files


def save_files(cli: Cli, folder: Path, files: Sequence[File]) -> list[Path]:
    """Errors: `CommandFailed` (6) when files would be replaced and nobody agreed; `UnsafePath`."""
    if changed := changed_files(folder, files):
        names = ", ".join(changed[:5]) + (f" and {len(changed) - 5} more" if len(changed) > 5 else "")
        cli.require_consent(f"Replace {names} in {folder}?", why=f"{names} in {folder} would be replaced")
    written = write_files(folder, files)
    for path in written:
        cli.output.note(f"wrote {path}")
    return written
