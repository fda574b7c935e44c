"""`shadowgraph new`."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import typer

from shadowgraph.cli.command import Cli, command
from shadowgraph.cli.exits import ExitCode
from shadowgraph.cli.problem import CommandFailed, failure

app = typer.Typer(add_completion=False, rich_markup_mode=None)

TEMPLATE = Path(__file__).parent.parent / "templates" / "project"
PLACEHOLDER = "my_project"
"""Stands in the template where the workflow's name belongs."""


@command(app)
def new(
    cli: Cli,
    directory: Annotated[Path, typer.Argument(metavar="DIR", help="A folder that is empty or not there yet.")],
) -> None:
    """Write a small project: a graph with prompts, settings and a test, ready to be served.

    \b
      shadowgraph new briefing
      shadowgraph up --project briefing
    """
    name = workflow_name(directory.resolve().name)
    try:
        files = write_project(directory, name)
    except OSError as error:
        raise _unusable(directory, error.strerror or str(error)) from error
    if cli.output.as_json:
        cli.output.json({"directory": str(directory.resolve()), "workflow": name, "files": files})
        return
    cli.output.text(f"made {directory}: {', '.join(files)}")
    cli.output.note(f"serve it:  shadowgraph up --project {directory}")
    cli.output.note(f"""a run:     echo '{{"topic": "tea"}}' | shadowgraph run --workflow {name} --input -""")


def workflow_name(folder: str) -> str:
    """A name that JSON, TOML and a shell take without quotes."""
    return re.sub(r"[^A-Za-z0-9_-]+", "-", folder).strip("-") or "agent"


def write_project(directory: Path, name: str) -> list[str]:
    """The files that it wrote.

    Errors: `OSError`; `CommandFailed` for a folder with something in it.
    """
    directory.mkdir(parents=True, exist_ok=True)
    if any(directory.iterdir()):
        raise _unusable(directory, "it is not empty")
    files = sorted(_template_files())
    for file in files:
        (directory / file).parent.mkdir(exist_ok=True)
        (directory / file).write_text((TEMPLATE / file).read_text().replace(PLACEHOLDER, name))
    return files


def _template_files() -> Iterator[str]:
    """Without what an installer compiles beside them."""
    for path in TEMPLATE.rglob("*"):
        if path.is_file() and path.suffix != ".pyc":
            yield path.relative_to(TEMPLATE).as_posix()


def _unusable(directory: Path, why: str) -> CommandFailed:
    return failure(
        f"no project can be made in {directory}: {why}",
        code="folder_not_usable",
        exit_code=ExitCode.CONFLICT,
        hint="name an empty folder, or one that is not there yet",
    )
