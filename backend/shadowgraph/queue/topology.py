"""What stands at the broker: names, which are versioned because a queue cannot be declared again with other arguments, and arguments."""

from collections.abc import Mapping
from dataclasses import dataclass

from shadowgraph.queue.inprocess import MAX_MESSAGES
from shadowgraph.queue.pools import pool_key

MESSAGE_TTL_MS = 10 * 60 * 1000
UNUSED_QUEUE_SECONDS = 30 * 60
"""A pool's queue that no worker has consumed from for so long is deleted, with whatever hints have come meanwhile."""
MAX_DEAD_MESSAGES = 10_000
DELIVERY_LIMIT = 20
"""Explicit, because the default differs between versions of the broker."""

Arguments = Mapping[str, str | int]

_HINTS: Arguments = {
    "x-queue-type": "quorum",
    "x-message-ttl": MESSAGE_TTL_MS,
    "x-max-length": MAX_MESSAGES,
    "x-overflow": "drop-head",
    "x-delivery-limit": DELIVERY_LIMIT,
}
"""No dead-letter exchange: the broker would send expired hints of good runs there."""


@dataclass(frozen=True, slots=True)
class DispatchQueue:
    """Where the hints of one pool wait for its workers."""

    name: str
    routing_key: str
    arguments: Arguments


@dataclass(frozen=True, slots=True)
class Topology:
    prefix: str
    unused_queue_seconds: float = UNUSED_QUEUE_SECONDS

    @property
    def exchange(self) -> str:
        return f"{self.prefix}runs.v1"

    @property
    def dead_queue(self) -> str:
        return f"{self.prefix}runs.dead.v1"

    @property
    def dead_queue_arguments(self) -> Arguments:
        return {"x-queue-type": "quorum", "x-max-length": MAX_DEAD_MESSAGES, "x-overflow": "drop-head"}

    @property
    def wake_exchange(self) -> str:
        return f"{self.prefix}runs.wake.v1"

    def dispatch_queue(self, pool: str | None) -> DispatchQueue:
        """None: the common one, from which every worker consumes; it stays when nobody does."""
        if pool is None:
            return DispatchQueue(f"{self.prefix}runs.dispatch.v1", "dispatch", _HINTS)
        key = pool_key(pool)
        expiring = {**_HINTS, "x-expires": int(self.unused_queue_seconds * 1000)}
        return DispatchQueue(f"{self.prefix}runs.pool.v1.{key}", f"pool.{key}", expiring)
