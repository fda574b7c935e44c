"""Prefixed, time-ordered ids. Time order is what the partitions of the run tables cut by."""

from typing import NewType

from uuid_utils import uuid7

RunId = NewType("RunId", str)
WorkerId = NewType("WorkerId", str)
VersionId = NewType("VersionId", str)

SYSTEM_RUN = RunId("sys")
"""The run id of events that belong to no run."""


def new_run_id() -> RunId:
    return RunId(f"run_{uuid7()}")


def new_gateway_run_id() -> RunId:
    """For a gateway call outside any run: its attempts still have to be counted somewhere."""
    return RunId(f"gw_{uuid7()}")


def new_worker_id() -> WorkerId:
    return WorkerId(f"wrk_{uuid7()}")


def new_interaction_id() -> str:
    return f"int_{uuid7()}"


def new_request_id() -> str:
    """Names one HTTP request in its answer and in the logs."""
    return f"req_{uuid7()}"


def new_budget_id() -> str:
    return f"bud_{uuid7()}"


def new_hold_id() -> str:
    return f"hold_{uuid7()}"


def new_price_id() -> str:
    return f"prc_{uuid7()}"


def new_version_id() -> VersionId:
    return VersionId(f"ver_{uuid7()}")
