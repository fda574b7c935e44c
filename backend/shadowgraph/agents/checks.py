"""What can be found out about generated files: whether they parse, and whether their tests pass in the sandbox."""

import ast
import json
from collections.abc import Iterator, Mapping
from pathlib import PurePosixPath
from typing import Any

from shadowgraph import tool
from shadowgraph.agents.drafts import Draft, File
from shadowgraph.agents.state import Checks

MAX_OUTPUT_CHARACTERS = 4_000


async def check_files(draft: Draft) -> Checks:
    broken = [problem for file in draft.files.values() for problem in _syntax_problems(file)]
    if broken:
        return Checks(
            status="failed", tests=0, summary=f"{_count(broken, 'file')} cannot be parsed", output="\n".join(broken)
        )
    if not any(_is_test(file) for file in draft.files.values()):
        return Checks(status="none", tests=0, summary="tests: there are no Python tests to run", output="")
    sources = {path: file.body for path, file in draft.files.items()}
    return outcome(await tool("run_python").ainvoke({"files": sources}))


def outcome(result: Mapping[str, Any]) -> Checks:
    """The sandbox's result in one line for people."""
    tests, reason = result["tests"], result["reason"]
    output = result["output"][-MAX_OUTPUT_CHARACTERS:]
    if not result["ran"]:
        return Checks(status="not_run", tests=0, summary=f"tests: were not run: {reason}", output=output)
    if result["passed"]:
        return Checks(status="passed", tests=tests, summary=f"tests: {tests} passed", output="")
    counted = f"tests: {result['failed']} of {tests} failed" if tests else "tests: failed"
    return Checks(status="failed", tests=tests, summary=": ".join(filter(None, [counted, reason])), output=output)


def nothing_to_check() -> Checks:
    return Checks(status="none", tests=0, summary="", output="")


def _syntax_problems(file: File) -> Iterator[str]:
    try:
        if file.is_python:
            ast.parse(file.body)
        elif file.path.endswith(".json"):
            json.loads(file.body)
    except SyntaxError as error:
        yield f"{file.path}, line {error.lineno}: {error.msg}"
    except json.JSONDecodeError as error:
        yield f"{file.path}, line {error.lineno}: {error.msg}"
    except (ValueError, RecursionError, MemoryError) as error:
        yield f"{file.path}: cannot be parsed ({type(error).__name__})"


def _is_test(file: File) -> bool:
    name = PurePosixPath(file.path).stem
    return file.is_python and (name.startswith("test_") or name.endswith("_test") or name == "tests")


def _count(items: list[str], noun: str) -> str:
    return f"{len(items)} {noun}" if len(items) == 1 else f"{len(items)} {noun}s"
