"""What becomes of an unfinished run whose version is left."""

from typing import Any

import pytest

from shadowgraph.core.clock import ManualClock
from shadowgraph.core.ids import RunId
from shadowgraph.runs.inflight import IRREVERSIBLE, LEFT, RESTARTED, InFlight, Outcome, decide
from shadowgraph.runs.run import FIELDS, Run, left_threads
from shadowgraph.runs.states import ENDED, Status, is_legal

UNFINISHED = sorted(set(Status) - ENDED)


def run(status: Status, **fields: Any) -> Run:
    values: dict[str, Any] = dict.fromkeys(FIELDS)
    values |= {"id": RunId("run_1"), "status": status, "created_at": ManualClock().now(), **fields}
    return Run(**values)


def outcome(status: Status, policy: InFlight, *, did_irreversible: bool = False, **fields: Any) -> Outcome | None:
    return decide(run(status, **fields), policy, did_irreversible=did_irreversible)


@pytest.mark.parametrize("status", UNFINISHED)
def test_finish_leaves_every_run_as_it_is(status: Status) -> None:
    assert outcome(status, InFlight.FINISH) is None


@pytest.mark.parametrize("policy", InFlight)
@pytest.mark.parametrize("status", sorted(ENDED))
def test_what_has_ended_has_ended(status: Status, policy: InFlight) -> None:
    assert outcome(status, policy) is None


@pytest.mark.parametrize("status", UNFINISHED)
def test_cancel_cancels_every_run(status: Status) -> None:
    assert outcome(status, InFlight.CANCEL, did_irreversible=True) == Outcome(Status.CANCELLED, reason=LEFT)


@pytest.mark.parametrize("status", UNFINISHED)
def test_hold_pauses_what_is_not_paused(status: Status) -> None:
    expected = None if status is Status.PAUSED else Outcome(Status.PAUSED, reason=LEFT)

    assert outcome(status, InFlight.HOLD) == expected


@pytest.mark.parametrize("status", UNFINISHED)
def test_restart_lets_every_run_start_over_and_a_paused_one_stay_paused(status: Status) -> None:
    after = Status.PAUSED if status is Status.PAUSED else Status.QUEUED

    assert outcome(status, InFlight.RESTART) == Outcome(after, starts_over=True, reason=RESTARTED)


@pytest.mark.parametrize("status", UNFINISHED)
def test_a_run_that_did_something_irreversible_never_starts_over(status: Status) -> None:
    expected = None if status is Status.PAUSED else Outcome(Status.PAUSED, reason=IRREVERSIBLE)

    assert outcome(status, InFlight.RESTART, did_irreversible=True) == expected


@pytest.mark.parametrize("policy", [InFlight.RESTART, InFlight.HOLD])
def test_a_run_that_somebody_wants_cancelled_is_cancelled(policy: InFlight) -> None:
    assert outcome(Status.RUNNING, policy, control="cancel") == Outcome(Status.CANCELLED, reason=LEFT)


def test_a_run_that_somebody_wants_paused_starts_over_when_it_is_resumed() -> None:
    expected = Outcome(Status.PAUSED, starts_over=True, reason=RESTARTED)

    assert outcome(Status.RUNNING, InFlight.RESTART, control="pause") == expected


@pytest.mark.parametrize("did_irreversible", [True, False])
@pytest.mark.parametrize("policy", InFlight)
@pytest.mark.parametrize("status", UNFINISHED)
@pytest.mark.parametrize("control", [None, "pause", "cancel"])
def test_every_move_is_a_legal_transition_or_none_at_all(
    status: Status, policy: InFlight, control: str | None, did_irreversible: bool
) -> None:
    found = outcome(status, policy, did_irreversible=did_irreversible, control=control)

    assert found is None or found.status is status or is_legal(status, found.status)


def test_a_run_knows_all_checkpoint_threads_that_it_had() -> None:
    assert left_threads("run_1", "run_1") == []
    assert left_threads("run_1", "run_1#1") == ["run_1"]
    assert left_threads("run_1", "run_1#3") == ["run_1", "run_1#1", "run_1#2"]
    assert run(Status.QUEUED, checkpoint_thread="run_1#1").checkpoint_threads == ["run_1#1", "run_1"]
