"""The fence taken out of the writer, for tests that show what it is for."""

from collections.abc import Iterator
from contextlib import contextmanager

from shadowgraph.engine import statements

NO_FENCE = "true"
"""Every writer passes, whoever owns the run."""


def drop_fence() -> None:
    """For good, in a process of its own."""
    _stand_for_ours(NO_FENCE)


@contextmanager
def without_fence() -> Iterator[None]:
    ours = statements._IS_OURS
    _stand_for_ours(NO_FENCE)
    try:
        yield
    finally:
        _stand_for_ours(ours)


def _stand_for_ours(condition: str) -> None:
    statements._IS_OURS = condition
    statements.sqlite_fence.cache_clear()
    statements.batch_statement.cache_clear()
