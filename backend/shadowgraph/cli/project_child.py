"""Runs what has to import a project's code in a process of its own, with the project's Python: that code may do anything.

Such a module says an empty line on stdout when the project's turn comes, and then one JSON object; with `error` where it could not be loaded.
"""

import asyncio
import json
from pathlib import Path

from shadowgraph.cli.client import Json
from shadowgraph.cli.command import Cli
from shadowgraph.cli.exits import ExitCode
from shadowgraph.cli.problem import CommandFailed, failure
from shadowgraph.wiring.interpreters import find_interpreter

START_SECONDS = 60.0
"""What the process gets until the project's turn comes; importing the graph library takes most of it."""
SPARE_SECONDS = 2.0
"""What it gets to say that the time is up. Code that holds the interpreter keeps it from that."""
MAX_ANSWER_BYTES = 1 << 24


async def ask_child(cli: Cli, module: str, directory: Path, *arguments: str, within_seconds: float) -> Json:
    """`module` is called with the folder, the seconds and the arguments.

    Errors: `CommandFailed`, in the words and lines of the project's author.
    """
    python = await find_interpreter(directory)
    if python.note:
        cli.output.note(python.note)
    process = await asyncio.create_subprocess_exec(
        *(str(python.path), "-m", module, str(directory), str(within_seconds), *arguments),
        env=python.environment,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL if cli.output.as_json else None,
        limit=MAX_ANSWER_BYTES,
    )
    try:
        answer = await _read_answer(process, within_seconds=within_seconds)
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    if not answer:
        raise _failed({"message": f"the project's code ended its process: exit code {process.returncode}"})
    found: Json = json.loads(answer)
    if error := found.get("error"):
        raise _failed(error)
    return found


async def _read_answer(process: asyncio.subprocess.Process, *, within_seconds: float) -> bytes:
    """Empty when it has ended without one.

    Errors: `CommandFailed` when it does not even say that the time is up.
    """
    assert process.stdout is not None
    try:
        async with asyncio.timeout(START_SECONDS):
            begun = await process.stdout.readline()
        async with asyncio.timeout(within_seconds + SPARE_SECONDS):
            answer = begun + await process.stdout.read()
            await process.wait()
    except TimeoutError:
        message = f"its code has not been imported after {within_seconds:g} s, and holds the interpreter all the time"
        raise _failed({"message": message, "hint": "look for C code that waits, or raise --timeout"}) from None
    return answer.strip()


def _failed(error: Json) -> CommandFailed:
    return failure(
        error["message"],
        code=error.get("code", "bad_project"),
        exit_code=ExitCode.USAGE,
        hint=error.get("hint"),
        errors=error.get("errors", []),
    )
