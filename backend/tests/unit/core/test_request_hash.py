"""By its hash a call is found again in the journal after a crash."""

from dataclasses import replace

import pytest

from shadowgraph.core.calls import LlmRequest

REQUEST = LlmRequest(agent="coder", messages=[{"role": "user", "content": "go"}])


def test_the_same_request_has_the_same_hash() -> None:
    again = LlmRequest(agent="coder", messages=[{"content": "go", "role": "user"}])

    assert again.request_hash() == REQUEST.request_hash()


@pytest.mark.parametrize(
    "other",
    [replace(REQUEST, messages=[{"role": "user", "content": "stop"}]), replace(REQUEST, agent="researcher")],
    ids=["another prompt", "another agent"],
)
def test_another_request_has_another_hash(other: LlmRequest) -> None:
    assert other.request_hash() != REQUEST.request_hash()
