"""Virtual environments with packages really installed, as a stranger has them: nothing of the checkout is in reach."""

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from signal import SIGINT, SIGKILL

from tests.support.pages import ROOT
from tests.support.processes import BACKEND
from tests.support.requirements import skip_or_fail

LOCK = BACKEND / "requirements-dev.lock"
"""The versions that are tested: nothing but what the checkout has installed already is fetched."""
PINNED = re.compile(r"^[\w.\[\]-]+==[^\\\n]+", re.MULTILINE)
STOP_SECONDS = 40


@dataclass(frozen=True, slots=True)
class Environment:
    folder: Path

    @property
    def python(self) -> Path:
        return self.folder / "bin" / "python"

    @property
    def command(self) -> Path:
        return self.folder / "bin" / "shadowgraph"

    def install(self, *requirements: str | Path) -> None:
        """From the index that uv or pip is configured for. Skips the test when neither can reach it."""
        versions = self.folder / "versions.txt"
        versions.write_text("\n".join(PINNED.findall(LOCK.read_text())))
        command = [*installer(self.python), *map(str, requirements), "-c", str(versions)]
        done = subprocess.run(command, env=installer_environment(), capture_output=True, text=True, check=False)
        if done.returncode != 0:
            skip_or_fail(f"the packages cannot be installed: {' '.join(done.stderr.split())[-500:]}")


def make_environment(folder: Path) -> Environment:
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(folder)], check=True)
    return Environment(folder)


def installer(python: Path) -> list[str]:
    uv = find_uv()
    if uv:
        return [uv, "pip", "install", "-q", "--python", str(python)]
    return [sys.executable, "-m", "pip", "--python", str(python), "-qq", "install"]


@cache
def find_uv() -> str | None:
    """The one of the machine, or that of the start script."""
    own = ROOT / ".cache" / "uv-tool" / "bin" / "uv"
    return shutil.which("uv") or (str(own) if own.exists() else None)


def installer_environment() -> dict[str, str]:
    """What the start script tells uv: where its cache is, and which index the environment names for pip."""
    known = dict(os.environ)
    index = {"UV_DEFAULT_INDEX": known.get("PIP_INDEX_URL", ""), "UV_INDEX": known.get("PIP_EXTRA_INDEX_URL", "")}
    own = {"UV_CACHE_DIR": str(ROOT / ".cache" / "uv"), "UV_PYTHON_DOWNLOADS": "never"}
    return {**own, **{name: value for name, value in index.items() if value}, **known}


def build_wheel(source: Path, folder: Path) -> Path:
    """Of the project in `source`, with the installed build backend."""
    before = set(folder.glob("*.whl"))
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)]
    done = subprocess.run(command, cwd=source, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    [wheel] = set(folder.glob("*.whl")) - before
    return wheel


def build_package(folder: Path, name: str, version: str, source: str) -> Path:
    """The wheel of a package that is one module."""
    project = folder / f"{name}-{version}"
    project.mkdir(parents=True)
    (project / f"{name}.py").write_text(source)
    (project / "pyproject.toml").write_text(
        f'[project]\nname = "{name}"\nversion = "{version}"\n'
        '[build-system]\nrequires = ["hatchling"]\nbuild-backend = "hatchling.build"\n'
    )
    return build_wheel(project, folder)


@contextmanager
def serving(command: Sequence[str | Path], *, cwd: Path, env: Mapping[str, str], log: Path) -> Iterator[None]:
    """A command that stays, as typed in that folder; all that it started has ended afterwards."""
    with log.open("w") as output:
        process = subprocess.Popen(
            command, cwd=cwd, env=dict(env), stdout=output, stderr=output, start_new_session=True
        )
    try:
        yield
        assert process.poll() is None, log.read_text()
    finally:
        process.send_signal(SIGINT)
        with suppress(subprocess.TimeoutExpired):
            process.wait(timeout=STOP_SECONDS)
        with suppress(ProcessLookupError):
            os.killpg(process.pid, SIGKILL)
        process.wait(timeout=10)
