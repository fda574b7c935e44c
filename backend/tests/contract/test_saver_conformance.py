"""LangGraph's own suite for checkpointers, run against our savers behind the fence on both databases."""

from collections.abc import AsyncGenerator
from typing import Any

from langgraph.checkpoint.base import BaseCheckpointSaver
from langgraph.checkpoint.conformance import checkpointer_test, validate
from langgraph.checkpoint.conformance.report import ProgressCallbacks
from langgraph.checkpoint.serde.jsonplus import JsonPlusSerializer

from shadowgraph.core.clock import SystemClock
from shadowgraph.db.engine import Database
from shadowgraph.engine.checkpoints.savers import open_savers
from shadowgraph.engine.claim import Claim
from shadowgraph.engine.recorder import RunRecorder
from shadowgraph.engine.writer import Writer
from shadowgraph.queue.inprocess import InProcessWakeups
from tests.support.runs import NOWHERE, claim, no_attempts, start_run


async def test_the_fenced_savers_pass_langgraphs_conformance_suite(database: Database) -> None:
    await start_run(database)
    run = await claim(database)
    recorder = RunRecorder(
        Claim(run, NOWHERE, run.event_seq),
        Writer(database),
        clock=SystemClock(),
        wakeups=InProcessWakeups(),
        attempts=no_attempts(),
    )

    async with open_savers(database.url) as savers:

        @checkpointer_test(name=f"fenced {database.dialect}")
        async def factory() -> AsyncGenerator[BaseCheckpointSaver[Any], None]:
            yield savers.saver(recorder, serde=JsonPlusSerializer(allowed_msgpack_modules=None))

        report = await validate(factory, progress=ProgressCallbacks.quiet())

    failures = {name: result.failures for name, result in report.results.items() if result.passed is False}
    assert failures == {}
    assert report.passed_all_base()
