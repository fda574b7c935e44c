"""Runs the unit tests of generated Python files in the sandbox. Where there is none, it says so and runs nothing."""

import asyncio
import re
import sys
from collections.abc import Mapping
from importlib import resources
from pathlib import PurePosixPath
from typing import cast

import orjson

from shadowgraph.core.json import Json, JsonObject
from shadowgraph.core.text import shorten_text
from shadowgraph.tools.registry import ToolContext
from shadowgraph.tools.sandbox import Ending, Limits, Sandbox, SandboxResult

LIMITS = Limits(wall_seconds=20.0, cpu_seconds=15)
MAX_WAIT_SECONDS = 100.0
"""How long tests may wait for a free place in the sandbox before they count as not run."""
MAX_OUTPUT_CHARACTERS = 6_000
_RUNNER = (resources.files("shadowgraph.tools") / "unittest_runner.py").read_text()
_ENDINGS: Mapping[Ending, str] = {
    "exit": "the program ended before its tests had",
    "wall_time": f"they took longer than {LIMITS.wall_seconds:g} s",
    "output": f"they wrote more than {LIMITS.output_bytes:,} bytes",
    "memory": f"they needed more than {LIMITS.memory_bytes >> 20} MB",
    "processes": f"they started more than {LIMITS.processes} processes",
}
_MISSING_MODULE = re.compile(r"No module named '([\w.]+)'")


class PythonTests:
    def __init__(self, sandbox: Sandbox) -> None:
        self._sandbox = sandbox

    async def run(self, arguments: JsonObject, context: ToolContext) -> Json:
        """`{"ran": bool, "passed": bool | None, "tests": n, "failed": n, "output": …, "reason": …}`; `passed` is None when no test was run."""
        status = await self._sandbox.status()
        if not status.available:
            return _not_run(f"no sandbox on this machine: {status.reason} ({status.fix})")
        files = cast(Mapping[str, Json], arguments["files"])
        try:
            async with asyncio.timeout(MAX_WAIT_SECONDS + LIMITS.wall_seconds):
                result = await self._sandbox.run_python(["-c", _RUNNER], stdin=orjson.dumps(files), limits=LIMITS)
        except TimeoutError:
            return _not_run("the sandbox was busy for too long")
        except OSError as error:
            return _not_run(f"the sandbox could not be started: {error}")
        return _outcome(result, files=files)


def _outcome(result: SandboxResult, *, files: Mapping[str, Json]) -> Json:
    said, verdict = _split(result)
    output = shorten_text(said, max_characters=MAX_OUTPUT_CHARACTERS)
    if verdict is None:
        return {**_ran(tests=0, failed=0), "passed": False, "output": output, "reason": _ENDINGS[result.ending]}
    tests, failed = verdict
    if tests == 0:
        return {**_not_run("no unittest tests were found"), "output": output}
    reason = _missing_package(output, files) if failed else ""
    return {**_ran(tests=tests, failed=failed), "passed": failed == 0, "output": output, "reason": reason}


def _split(result: SandboxResult) -> tuple[str, tuple[int, int] | None]:
    """What the tests said, and how many there were and failed; None when the runner never came to its last line."""
    said = result.stdout.decode(errors="replace")
    report = result.stderr.decode(errors="replace")
    before, _, last = said.rstrip("\n").rpartition("\n")
    try:
        verdict = orjson.loads(last)
        return f"{before}\n{report}".strip(), (int(verdict["tests"]), int(verdict["failed"]))
    except (orjson.JSONDecodeError, KeyError, TypeError, ValueError):
        return f"{said}\n{report}".strip(), None


def _missing_package(output: str, files: Mapping[str, Json]) -> str:
    own = {part for path in files for part in PurePosixPath(path).with_suffix("").parts}
    for name in _MISSING_MODULE.findall(output):
        top = name.split(".")[0]
        if top not in own and top not in sys.stdlib_module_names:
            return f"they need the package {top}; the sandbox has the standard library only"
    return ""


def _ran(*, tests: int, failed: int) -> dict[str, Json]:
    return {"ran": True, "tests": tests, "failed": failed}


def _not_run(reason: str) -> dict[str, Json]:
    return {"ran": False, "passed": None, "tests": 0, "failed": 0, "output": "", "reason": reason}
