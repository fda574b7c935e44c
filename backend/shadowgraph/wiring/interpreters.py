"""The Python that serves a project: the one of its own environment when Shadowgraph is installed there, else ours."""

import asyncio
import os
import sys
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

ENVIRONMENT = ".venv"
ASK_SECONDS = 20.0
_PROBE = "from importlib.metadata import version; print(version('shadowgraph'))"


@dataclass(frozen=True, slots=True)
class Interpreter:
    path: Path
    is_ours: bool
    note: str
    """What somebody should know about the choice; empty when there was none."""

    @property
    def environment(self) -> dict[str, str]:
        """Of a process of it: what is ours alone is left out."""
        if self.is_ours:
            return dict(os.environ)
        kept = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "PYTHONHOME")}
        home = self.path.parent.parent
        path = os.pathsep.join(filter(None, [str(self.path.parent), kept.get("PATH", "")]))
        return {**kept, "VIRTUAL_ENV": str(home), "PATH": path}


OURS = Interpreter(Path(sys.executable), is_ours=True, note="")


async def find_interpreter(project: Path) -> Interpreter:
    if not has_environment(project):
        return OURS
    path = _python_of(project)
    found = await _installed_version(path)
    if found is None:
        note = f"{path} has no Shadowgraph installed, so the project runs in the environment of this server"
        return Interpreter(OURS.path, is_ours=True, note=note)
    differs = f", Shadowgraph {found} (this server: {ours})" if found != (ours := version("shadowgraph")) else ""
    return Interpreter(path, is_ours=False, note=f"runs with {path}{differs}")


def has_environment(project: Path) -> bool:
    """One of its own, which is not the one that we run in."""
    python = _python_of(project)
    return python.exists() and python.parent.parent.resolve() != Path(sys.prefix).resolve()


def _python_of(project: Path) -> Path:
    return project / ENVIRONMENT / "bin" / "python"


async def _installed_version(python: Path) -> str | None:
    """None: not installed, or this interpreter does not work."""
    try:
        process = await asyncio.create_subprocess_exec(
            *(str(python), "-I", "-c", _PROBE),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.DEVNULL,
        )
    except OSError:
        return None
    try:
        async with asyncio.timeout(ASK_SECONDS):
            output, _ = await process.communicate()
    except TimeoutError:
        process.kill()
        await process.wait()
        return None
    return output.decode().strip() or None


def changed_at(project: Path) -> int:
    """When something was last installed into its environment; 0: it has none."""
    folders = [project / ENVIRONMENT, *(project / ENVIRONMENT).glob("lib/python*/site-packages")]
    return max((folder.stat().st_mtime_ns for folder in folders if folder.exists()), default=0)
