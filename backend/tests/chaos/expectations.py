"""What must hold of a run whatever happened to it."""

from collections import Counter
from typing import Any

from shadowgraph.runs.states import ENDED
from tests.chaos.records import Record
from tests.chaos.world import LEAST_CALLS

CLOSED_STEPS = {"finished", "failed", "interrupted", "cancelled", "lost"}


def expect_one_end(record: Record, *, retries: int = 0) -> None:
    """P2: one final state, one event that says so each time it ended, and nothing after the last one."""
    assert record.status in {str(status) for status in ENDED}
    ends = [row for row in record.tables["events"] if row["type"] == "run.finished"]
    assert len(ends) == 1 + retries
    assert ends[-1]["payload"]["status"] == record.status
    assert record.event_types()[-1] == "run.finished"


def expect_nothing_left_open(record: Record) -> None:
    assert {row["status"] for row in record.tables["steps"]} <= CLOSED_STEPS
    assert record.attempts("started") == 0
    assert record.run["lease_owner"] is None
    assert record.run["lease_expires_at"] is None
    assert record.run["control"] is None


def expect_no_trace_of_two_workers(record: Record) -> None:
    """P5: event numbers without a repeat, every step finished once, one chain of checkpoints."""
    numbers = [row["seq"] for row in record.tables["events"]]
    assert numbers == sorted(set(numbers))
    assert numbers[-1] == record.run["event_seq"]
    assert set(record.finished().values()) <= {1}
    assert record.forks() == 0


def expect_completed(record: Record, output: Any) -> None:
    """It ended as it would have ended undisturbed."""
    assert record.status == "COMPLETED", record.run["error"]
    expect_one_end(record)
    expect_nothing_left_open(record)
    expect_no_trace_of_two_workers(record)
    assert record.output == output
    assert {row["status"] for row in record.tables["llm_calls"]} == {"done"}


def expect_paid_once(record: Record, asked: Counter[str], *, in_doubt: int = 0, again: str = "") -> None:
    """P3, P4: the provider saw each call once, but for those in flight at the fault, which the journal names.

    `again`: the node whose call was repeated; none when the request never left.
    """
    assert asked == LEAST_CALLS + Counter([again] if again else [])
    assert record.attempts("in_doubt") == in_doubt
    assert record.attempts("done") == LEAST_CALLS.total()


def expect_paid_again_only_what_was_in_flight(
    record: Record, asked: Counter[str], *, least: Counter[str] = LEAST_CALLS, at_most: int
) -> None:
    """The same where several calls may be in flight at once, or where it is open whether one was."""
    assert asked >= least
    assert (asked - least).total() <= record.attempts("in_doubt") <= at_most
    assert record.attempts("done") == least.total()
