"""Builds the program of a request and runs its tests as a user would: in an empty folder, with nothing but Python."""

import ast
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from shadowgraph.llm.offline.noise import Noise
from shadowgraph.llm.offline.style import Style
from shadowgraph.llm.offline.task import build_program
from shadowgraph.llm.offline.templates.base import Program, SourceFile
from shadowgraph.llm.offline.understanding import understand

OLDEST_PYTHON = (3, 9)
"""The programs promise to run on it."""


@dataclass(frozen=True)
class Outcome:
    status: int
    output: str


def program_for(request: str, style: Style | None = None) -> Program:
    return build_program(understand(request), style or Style())


def with_noise(program: Program, seed: str) -> list[SourceFile]:
    noise = Noise(1.0, seed)
    return [noise.file(file) for file in program.files]


def run_tests(files: list[SourceFile] | tuple[SourceFile, ...], folder: Path) -> Outcome:
    for file in files:
        (folder / file.path).write_text(file.content, encoding="utf-8")
    done = subprocess.run(
        [sys.executable, "-S", "-W", "error", "-m", "unittest", "-q"],  # -S: nothing that is installed can be imported
        cwd=folder,
        env={"PATH": os.environ["PATH"], "PYTHONDONTWRITEBYTECODE": "1"},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    return Outcome(done.returncode, done.stdout + done.stderr)


def require_valid_python(program: Program) -> None:
    for file in program.files:
        if file.path.endswith(".py"):
            ast.parse(file.content, filename=file.path, feature_version=OLDEST_PYTHON)


def names_used(program: Program) -> set[str]:
    """Every name that the code looks up or imports: what a hostile request would have to get in."""
    trees = [ast.parse(file.content) for file in program.files if file.path.endswith(".py")]
    nodes = [node for tree in trees for node in ast.walk(tree)]
    looked_up = {node.id for node in nodes if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load)}
    imported = {alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names}
    return looked_up | imported
