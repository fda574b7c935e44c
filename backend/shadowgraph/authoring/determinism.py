"""Time and chance that come out the same when a step runs again after a crash. Neither needs a stored value."""

from datetime import UTC, datetime, timedelta
from random import Random
from uuid import UUID

from shadowgraph.authoring.place import find_execution_info, lane, next_call_id
from shadowgraph.authoring.ports import require_ports
from shadowgraph.core.clock import SystemClock

_UUID_EPOCH = datetime(1582, 10, 15, tzinfo=UTC)


def now() -> datetime:
    """When the current superstep began, aware UTC: the same in the whole step, and again when the step is repeated.

    It is the time of the checkpoint from which the step started. Outside a graph it is the real time. For the length of something inside
    a step use `time.monotonic()` and keep it out of the state.
    """
    info = find_execution_info()
    return (info and _time_of(info.checkpoint_id)) or SystemClock().now()


def _time_of(checkpoint_id: str) -> datetime | None:
    """LangGraph's checkpoint ids are UUIDs of version 6: 60 bits of 100 ns since 1582, highest first."""
    uuid = UUID(checkpoint_id)
    if uuid.version != 6:
        return None
    ticks = (uuid.int >> 80) << 12 | (uuid.int >> 64) & 0xFFF
    return _UUID_EPOCH + timedelta(microseconds=ticks // 10)


def rand() -> Random:
    """A generator of random values that are this run's own, and the same again when the step is repeated.

    Each use of `rand()` in a step gives another generator, counted apart from the model and tool calls. Not for secrets.
    """
    ports = require_ports()
    with lane("rand"):
        call = next_call_id(ports, "")
    return Random(f"{ports.run_id}/{call.key}")
