"""Where a snapshot was built: beside it, never inside, for it differs from machine to machine."""

import subprocess
import sys
from importlib.metadata import version
from pathlib import Path
from typing import Any

GIT_SECONDS = 10.0


def find_builder() -> dict[str, Any]:
    """This process."""
    return {"python": f"{sys.version_info.major}.{sys.version_info.minor}", "shadowgraph": version("shadowgraph")}


def find_source(directory: Path) -> dict[str, Any]:
    """Its commit, and whether the folder has changes since. Empty without git, or outside a work tree."""
    commit = _git(directory, "rev-parse", "HEAD")
    if not commit:
        return {}
    return {"commit": commit.strip(), "dirty": bool(_git(directory, "status", "--porcelain", "--", "."))}


def _git(directory: Path, *arguments: str) -> str | None:
    try:
        asked = subprocess.run(
            ["git", "-C", str(directory), *arguments],
            capture_output=True,
            text=True,
            check=False,
            timeout=GIT_SECONDS,
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return asked.stdout if asked.returncode == 0 else None
