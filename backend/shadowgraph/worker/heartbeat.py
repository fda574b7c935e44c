"""Keeps the leases of this process alive from a thread of its own: a node that blocks the event loop must not lose its run."""

import logging
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from shadowgraph.core.ids import RunId, WorkerId
from shadowgraph.db.engine import build_sync_engine, is_outage
from shadowgraph.runs.claims import Held, extend_leases

log = logging.getLogger(__name__)

BEATS_PER_LEASE = 6

Leases = Sequence[tuple[RunId, int]]
"""Run id and lease token of every run that this process drives."""

OnBeat = Callable[[Leases, Sequence[Held]], None]
"""What was asked for, and what the database says is still ours. Called on the heartbeat's thread."""


class Heartbeat:
    """One statement for all runs, every sixth of a lease. An error of the database stops nothing: only a clear answer does."""

    def __init__(
        self,
        database_url: str,
        *,
        worker_id: WorkerId,
        lease_seconds: float,
        leases: Callable[[], Leases],
        on_beat: OnBeat,
    ) -> None:
        self._engine = build_sync_engine(database_url)
        self._worker_id = worker_id
        self._lease_ms = int(lease_seconds * 1000)
        self._pause_seconds = lease_seconds / BEATS_PER_LEASE
        self._leases = leases
        self._on_beat = on_beat
        self._wake = threading.Event()
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, name="heartbeat", daemon=True)

    @contextmanager
    def beating(self) -> Iterator["Heartbeat"]:
        self._thread.start()
        try:
            yield self
        finally:
            self._stopped.set()
            self._wake.set()
            self._thread.join(timeout=self._pause_seconds + 5)
            self._engine.dispose()

    def nudge(self) -> None:
        """Somebody wants something of a run here: look now instead of at the next beat."""
        self._wake.set()

    def _run(self) -> None:
        while not self._stopped.is_set():
            try:
                self._beat()
            except Exception as error:  # noqa: BLE001  the thread must outlive whatever goes wrong in one beat
                level = logging.WARNING if is_outage(error) else logging.ERROR
                log.log(level, "a heartbeat failed: %s", error)
            self._wake.wait(self._pause_seconds)
            self._wake.clear()

    def _beat(self) -> None:
        leases = list(self._leases())
        with self._engine.begin() as connection:
            held = extend_leases(connection, self._worker_id, leases, self._lease_ms)
        self._on_beat(leases, held)
