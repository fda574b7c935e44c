"""Applies mutants to a copy of the package, never to the work tree, and runs what must notice them there."""

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import orjson

from tests.mutants.catalogue import SIMULATION, Mutant

BACKEND = Path(__file__).parents[2]
SEEDS = "0:40"
SCHEDULES = 100
"""Of each seed: how far the simulation goes before a mutant has survived it."""
TIME_LIMIT_SECONDS = 900
TESTS_FAILED = 1
"""Exit status of pytest; any other one but 0 says that the tests could not be run."""

Verdict = Literal["caught", "survived", "broken"]


class DoesNotApply(Exception):
    """The planted text stands nowhere, or more than once: the mutant has to be planted anew."""


@dataclass(frozen=True, slots=True)
class Finding:
    verdict: Verdict
    detail: str
    """What noticed it, or what went wrong."""


def mutated(source: str, mutant: Mutant) -> str:
    """Errors: `DoesNotApply`."""
    found = source.count(mutant.before)
    if found != 1:
        raise DoesNotApply(f"{mutant.name}: its text stands {found} times in {mutant.path}")
    return source.replace(mutant.before, mutant.after)


class Lab:
    """A copy of the package and of its tests."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        ignored = shutil.ignore_patterns("__pycache__", ".cache")
        for name in ("shadowgraph", "tests"):
            shutil.copytree(BACKEND / name, folder / name, ignore=ignored)
        shutil.copy(BACKEND / "pyproject.toml", folder)

    def require_the_copy(self) -> None:
        """Errors: `RuntimeError` when another installation would be tested."""
        found = self._python("-c", "import shadowgraph.core.ids as it; print(it.__file__)").stdout.strip()
        if not Path(found).is_relative_to(self._folder):
            raise RuntimeError(f"the tests would run {found}, not the copy in {self._folder}")

    @contextmanager
    def with_mutant(self, mutant: Mutant) -> Iterator[None]:
        """Errors: `DoesNotApply`."""
        file = self._folder / "shadowgraph" / mutant.path
        original = file.read_text()
        file.write_text(mutated(original, mutant))
        try:
            yield
        finally:
            file.write_text(original)

    def check(self, check: str) -> Finding:
        return self._simulate() if check == SIMULATION else self.test(check)

    def _simulate(self) -> Finding:
        limits = ("--seeds", SEEDS, "--schedules", str(SCHEDULES))
        done = self._python("-m", "tests.simulation", *limits, "--until-violation")
        lines = [orjson.loads(line) for line in done.stdout.splitlines()]
        if not lines:
            return Finding("broken", done.stderr[-500:])
        if "violated" not in lines[0]:
            return Finding("survived", f"{lines[-1]['schedules']:,} schedules")
        found = lines[0]
        rule = found["violated"][0].partition(":")[0]
        return Finding("caught", f"simulation, {rule}, seed {found['seed']}: {found['schedule']}")

    def test(self, *tests: str) -> Finding:
        done = self._python("-m", "pytest", "-q", "-x", "--no-header", *tests)
        if done.returncode == 0:
            return Finding("survived", " ".join(tests))
        if done.returncode != TESTS_FAILED:
            return Finding("broken", (done.stdout + done.stderr)[-500:])
        failed = [line for line in done.stdout.splitlines() if line.startswith(("FAILED ", "ERROR "))]
        return Finding("caught", " ".join(failed))

    def _python(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        environment = os.environ | {"PYTHONDONTWRITEBYTECODE": "1", "PYTHONPATH": str(self._folder)}
        return subprocess.run(
            [sys.executable, *arguments],
            cwd=self._folder,
            env=environment,
            capture_output=True,
            text=True,
            timeout=TIME_LIMIT_SECONDS,
            check=False,
        )
