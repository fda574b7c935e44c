"""The rows of the fault matrix: what each is about. A test belongs to the row that its name begins with."""

import re
from dataclasses import dataclass

import pytest

whole_matrix = pytest.mark.whole_matrix
"""Not in every run of the tests: it takes long, or a server of its own."""

_ROW_OF_A_TEST = re.compile(r"::test_f(\d\d)_")


@dataclass(frozen=True, slots=True)
class Row:
    number: int
    fault: str

    @property
    def name(self) -> str:
        return f"F{self.number}"


ROWS = (
    Row(1, "worker killed, at every boundary"),
    Row(2, "worker killed with a lease of 30 s"),
    Row(3, "worker frozen, then awake again"),
    Row(4, "worker frozen inside a transaction"),
    Row(5, "one message a hundred times"),
    Row(6, "16 claimers at once"),
    Row(7, "messages that are not ours, unknown runs"),
    Row(8, "a run that kills its workers"),
    Row(9, "broker killed or stopped"),
    Row(10, "broker frozen"),
    Row(11, "message lost"),
    Row(12, "the broker's consumer time-out"),
    Row(13, "PostgreSQL restarted or killed"),
    Row(14, "PostgreSQL away for two leases"),
    Row(15, "SIGTERM"),
    Row(16, "SIGTERM, and a node longer than the drain"),
    Row(17, "pause and resume"),
    Row(18, "cancel in the middle of a call"),
    Row(19, "two answers to one question"),
    Row(20, "worker killed right after the answer"),
    Row(21, "relay killed between publish and commit"),
    Row(22, "connection cut after COMMIT was sent"),
    Row(23, "provider fails, limits, hangs"),
    Row(24, "states and answers that cannot be stored"),
    Row(25, "a node blocks the event loop"),
    Row(26, "code changed while a run waits"),
    Row(27, "embedded process killed and started again"),
    Row(28, "disk full, database read-only"),
    Row(29, "a worker's clock an hour off"),
    Row(30, "all of it at random"),
    Row(31, "primary dies, standby promoted"),
    Row(32, "PgBouncer in transaction mode"),
    Row(33, "poison and a lost lease among 16 runs"),
)


def row_of(nodeid: str) -> int | None:
    """The number of the row that a test belongs to."""
    found = _ROW_OF_A_TEST.search(nodeid)
    return int(found[1]) if found else None
