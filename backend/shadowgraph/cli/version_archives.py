"""`shadowgraph versions deploy|export|import|verify`: how versions come and go as archives."""

import asyncio
from collections.abc import Iterator, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated

import typer

from shadowgraph.cli.client import UNTIL_DONE, Client, Json, connect, segment
from shadowgraph.cli.command import Cli, command
from shadowgraph.cli.exits import ExitCode
from shadowgraph.cli.options import Url
from shadowgraph.cli.problem import failure, usage
from shadowgraph.cli.project_child import ask_child
from shadowgraph.cli.run_target import find_project_here
from shadowgraph.cli.server import require_url
from shadowgraph.cli.version_choice import VersionRef, Workflow, active_digest, choose_version
from shadowgraph.cli.version_diff import describe_diff, state_text
from shadowgraph.versioning.archive import read_archive
from shadowgraph.versioning.provenance import find_source
from shadowgraph.wiring.plan import BUILT_IN_PROJECT, require_project

app = typer.Typer(add_completion=False, rich_markup_mode=None)

BUILD = "shadowgraph.cli.version_build"
MAX_LEFT_OUT = 10

Message = Annotated[str, typer.Option("--message", "-m", metavar="TEXT", help="Why it is made.")]


@command(app)
async def deploy(
    cli: Cli,
    directory: Annotated[
        Path | None,
        typer.Argument(
            metavar="[DIR]",
            help="A folder with langgraph.json; without it this folder if it is one, else the built-in project.",
            show_default=False,
        ),
    ] = None,
    workflow: Annotated[
        list[str] | None, typer.Option("--workflow", metavar="NAME", help="Only this one; may be repeated.")
    ] = None,
    message: Message = "",
    timeout_seconds: Annotated[
        float | None,
        typer.Option(
            "--timeout",
            metavar="S",
            help="What importing it may take. Default: PROJECT_LOAD_SECONDS.",
            show_default=False,
        ),
    ] = None,
    url: Url = None,
) -> None:
    """Make a version of each workflow of a project as it is in its folder. No run begins on it until it is promoted; the first is active at once.

    \b
      shadowgraph versions deploy -m "shorter answers"
      shadowgraph versions deploy ./mine --workflow agent
    """
    settings = cli.load(url=url, project_load_seconds=timeout_seconds).settings
    server, folder = require_url(settings), _project(directory)
    with TemporaryDirectory(prefix="shadowgraph-") as out:
        arguments = (out, *(workflow or []))
        built = await ask_child(cli, BUILD, folder, *arguments, within_seconds=settings.project_load_seconds)
        origin = await asyncio.to_thread(find_source, folder)
        beside = {**origin, **built["builder"], "message": message or None}
        async with connect(server, patience=UNTIL_DONE) as client:
            made = [await _deploy(cli, client, item, beside) for item in built["workflows"]]
    if cli.output.as_json:
        cli.output.json({"items": made, "next_cursor": None})


async def _deploy(cli: Cli, client: Client, built: Json, beside: Json) -> Json:
    body = await asyncio.to_thread(Path(built["file"]).read_bytes)
    version = await _upload(client, built["workflow"], body, beside)
    _tell(cli, version, built["left_out"])
    return {**version, "left_out": built["left_out"]}


def _project(directory: Path | None) -> Path:
    """Errors: `BadProject`."""
    return require_project(directory) if directory else find_project_here() or BUILT_IN_PROJECT


async def _upload(client: Client, workflow: str, body: bytes, beside: Json) -> Json:
    """The version, and what differs in it from the active one."""
    version, is_new = await client.upload(f"/workflows/{segment(workflow)}/versions", body, **beside)
    before = await active_digest(client, workflow)
    changes = await client.get("/snapshots/diff", a=before, b=version["snapshot_digest"])
    return {**version, "is_new": is_new, "diff": changes}


def _tell(cli: Cli, version: Json, left_out: Sequence[str] = ()) -> None:
    if not cli.output.as_json:
        for line in _lines(version, left_out):
            cli.output.text(line)


def _lines(version: Json, left_out: Sequence[str]) -> Iterator[str]:
    name, workflow = version["label"], version["workflow"]
    yield f"{name}  {state_text(version)}  {workflow}{'' if version['is_new'] else '  (there already)'}"
    if version["state"] != "active":
        yield from (f"  {line}" for line in describe_diff({**version["diff"], "prompts": []}))
        yield f"  look:     shadowgraph versions diff {name} --workflow {workflow}"
        yield f"  promote:  shadowgraph versions promote {name} --workflow {workflow}"
    if left_out:
        more = f" and {len(left_out) - MAX_LEFT_OUT} more" if len(left_out) > MAX_LEFT_OUT else ""
        yield f"  not in it: {', '.join(left_out[:MAX_LEFT_OUT])}{more}"


@command(app)
async def export(
    cli: Cli,
    version: VersionRef,
    file: Annotated[
        Path | None,
        typer.Argument(metavar="[FILE]", help="Default: WORKFLOW-VERSION.zip; - for stdout.", show_default=False),
    ] = None,
    workflow: Workflow = None,
    url: Url = None,
) -> None:
    """Write a version as an archive: the same bytes from every installation.

    \b
      shadowgraph versions export v3
    """
    async with connect(require_url(cli.load(url=url).settings), patience=UNTIL_DONE) as client:
        found = await choose_version(client, version, workflow)
        body = await client.get_bytes(f"/snapshots/{found['snapshot_digest']}/export.zip")
    if file == Path("-"):
        cli.output.bytes(body)
        return
    path = file or Path(f"{found['workflow']}-{found['label']}.zip")
    if path.exists() and path.read_bytes() != body:
        cli.require_consent(f"Replace {path}?", why=f"{path} would be replaced")
    path.write_bytes(body)
    if cli.output.as_json:
        cli.output.json({"file": str(path), "digest": found["snapshot_digest"]})
    else:
        cli.output.note(f"wrote {path}")


@command(app, "import")
async def import_archive(
    cli: Cli,
    file: Annotated[Path, typer.Argument(metavar="FILE", help="As `versions export` wrote it.", show_default=False)],
    message: Message = "",
    url: Url = None,
) -> None:
    """Make a version of an archive. It becomes a draft, as with `deploy`.

    \b
      shadowgraph versions import pipeline-v3.zip
    """
    body = await asyncio.to_thread(_read, file)
    snapshot = await asyncio.to_thread(read_archive, body)
    async with connect(require_url(cli.load(url=url).settings), patience=UNTIL_DONE) as client:
        version = await _upload(client, snapshot.manifest.workflow, body, {"message": message or None})
    _tell(cli, version)
    if cli.output.as_json:
        cli.output.json(version)


def _read(file: Path) -> bytes:
    try:
        return file.read_bytes()
    except OSError as error:
        raise usage(f"{file} cannot be read: {error.strerror}") from error


@command(app)
async def verify(
    cli: Cli,
    version: Annotated[
        str, typer.Argument(metavar="VERSION|FILE", help="A version on the server, or an archive.", show_default=False)
    ],
    workflow: Workflow = None,
    url: Url = None,
) -> None:
    """Check every byte of a version against its digest: of an archive here, or of what the server has stored.

    \b
      shadowgraph versions verify v3
      shadowgraph versions verify pipeline-v3.zip
    """
    if await asyncio.to_thread(Path(version).is_file):
        snapshot = read_archive(await asyncio.to_thread(_read, Path(version)))
        _tell_whole(cli, version, snapshot.digest, len(snapshot.manifest.files))
        return
    async with connect(require_url(cli.load(url=url).settings), patience=UNTIL_DONE) as client:
        found = await choose_version(client, version, workflow)
        shown = await client.get(f"/snapshots/{found['snapshot_digest']}", verify=True)
    verification = shown["verification"]
    if not verification["ok"]:
        raise failure(
            f"{found['label']} of {found['workflow']} is damaged",
            code="snapshot_damaged",
            exit_code=ExitCode.UNEXPECTED,
            hint="deploy or import the same content again",
            errors=verification["problems"],
        )
    _tell_whole(cli, found["label"], found["snapshot_digest"], len(shown["manifest"]["files"]))


def _tell_whole(cli: Cli, name: str, digest: str, files: int) -> None:
    if cli.output.as_json:
        cli.output.json({"ok": True, "digest": digest, "files": files})
    else:
        cli.output.text(f"{name}  whole  {files} files  {digest}")
