"""How a worker process ended, in words for a person, and how long to wait before the next one."""

import signal

FIRST_PAUSE_SECONDS = 0.2
MAX_PAUSE_SECONDS = 30.0
MEBIBYTE = 1 << 20


def describe_exit(code: int | None) -> str:
    """For what ended without our doing. None: nobody saw how."""
    if code is None:
        return "ended with the process that had started it"
    if code >= 0:
        return f"exit code {code}"
    try:
        return f"killed by signal {-code} ({signal.Signals(-code).name})"
    except ValueError:
        return f"killed by signal {-code}"


def describe_memory(limit_bytes: int) -> str:
    return f"more than {limit_bytes // MEBIBYTE} MB of memory"


def describe_silence(seconds: float) -> str:
    return f"no sign of life for {seconds:g} s (code that blocks the whole interpreter?)"


def describe_block(seconds: float) -> str:
    return f"a node held its event loop for {seconds:g} s (a loop without an end in async code?)"


def pause_before_next(troubles: int) -> float:
    """Seconds, growing with the processes that ended in a row; the caller adds jitter."""
    return float(min(MAX_PAUSE_SECONDS, FIRST_PAUSE_SECONDS * 2 ** min(troubles, 10)))
