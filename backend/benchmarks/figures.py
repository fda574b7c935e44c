"""What every benchmark does with its samples."""

import json
import os
import platform
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from statistics import median
from typing import Any

PACKAGES = ("langgraph", "sqlalchemy", "psycopg", "fastapi")
"""Whose versions stand beside the figures."""
_TICKS = os.sysconf("SC_CLK_TCK")


def percentile(samples: Sequence[float], share: float) -> float:
    """The nearest rank; `share` from 0 to 1."""
    ordered = sorted(samples)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


def spread(samples: Sequence[float], *, digits: int = 3) -> dict[str, float]:
    """Median and range over rounds."""
    return {
        "median": round(median(samples), digits),
        "min": round(min(samples), digits),
        "max": round(max(samples), digits),
    }


def latencies(samples_ms: Sequence[float]) -> dict[str, float]:
    return {
        name: round(percentile(samples_ms, share), 3) for name, share in (("p50", 0.5), ("p95", 0.95), ("p99", 0.99))
    }


def ms_per_run(used: Mapping[str, float], runs: int) -> dict[str, float]:
    """`used`: CPU seconds by process."""
    parts = {f"{name}_ms": round(seconds * 1000 / runs, 2) for name, seconds in used.items()}
    return {"cpu_ms": round(sum(parts.values()), 2)} | parts


def cpu_seconds(pid: int) -> float:
    """User and system time that a process has used; its children's when they have ended."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return sum(map(int, fields[11:15])) / _TICKS


def resident_bytes(pid: int) -> int:
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def report(name: str, figures: Mapping[str, Any]) -> None:
    machine = {
        "cores": os.cpu_count(),
        "python": platform.python_version(),
        "load": round(os.getloadavg()[0], 1),
        **{package: version(package) for package in PACKAGES},
    }
    print(json.dumps({"benchmark": name, "machine": machine, **figures}, indent=2))
