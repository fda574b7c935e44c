"""Twenty ways to break a promise by one small change, each with the smallest check that must notice it."""

from dataclasses import dataclass

SIMULATION = "simulation"
"""`python -m tests.simulation`, until it finds a schedule that violates a rule."""


@dataclass(frozen=True, slots=True)
class Mutant:
    name: str
    path: str
    """Below `shadowgraph/`."""
    before: str
    """Stands there exactly once."""
    after: str
    check: str = SIMULATION
    """Or the test that must fail."""


MUTANTS = (
    Mutant(
        "fence dropped",
        "engine/statements.py",
        '_IS_OURS = "runs.lease_token = {token} AND runs.lease_expires_at IS NOT NULL"',
        '_IS_OURS = "true"',
    ),
    Mutant(
        "token not raised on claim",
        "runs/claims.py",
        "lease_token=runs.c.lease_token + 1,",
        "lease_token=runs.c.lease_token,",
    ),
    Mutant(
        "token not raised on exit",
        "engine/writer.py",
        '"lease_token": runs.c.lease_token + 1,',
        '"lease_token": runs.c.lease_token,',
    ),
    Mutant(
        "token not raised on sweep",
        "runs/takeover.py",
        "lease_token=runs.c.lease_token + 1,",
        "lease_token=runs.c.lease_token,",
    ),
    Mutant(
        "acknowledged before the claim is committed",
        "worker/worker.py",
        "            await self._claim_one(message.id)",
        "            self._early = asyncio.create_task(self._claim_one(message.id))",
        "tests/integration/worker/test_worker.py::test_a_message_is_not_acknowledged_before_its_run_is_claimed[sqlite]",
    ),
    Mutant(
        "sweep without grace",
        "runs/sweeper.py",
        "        if not self._grace.contact():\n            return []",
        "        self._grace.contact()",
    ),
    Mutant(
        "presence trusted after one miss",
        "runs/sweeper.py",
        "gone = self._missing & frozenset(missing)",
        "gone = frozenset(missing)",
        "tests/integration/runs/test_claims.py::test_a_worker_counts_as_gone_when_it_was_missing_twice_in_a_row",
    ),
    Mutant(
        "event number outside the lock",
        "engine/applying.py",
        "sqlite_events(write, last_seq=seq)",
        "sqlite_events(write, last_seq=claim.event_seq + len(write.events))",
        "tests/integration/engine/test_writer.py"
        "::test_numbers_stay_right_after_a_write_whose_caller_was_cancelled_though_it_was_committed[sqlite]",
    ),
    Mutant(
        "checkpoint before the fence",
        "engine/writer.py",
        "        if self._group is None or not await self._group.join(write):",
        "        from shadowgraph.engine.applying import _statements_of\n\n"
        "        async with self._database.write() as early:\n"
        "            for text, rows in _statements_of(write):\n"
        "                await self._database.run_in_driver(early, lambda raw, t=text, r=rows: raw.executemany(t, r))\n"
        "        if self._group is None or not await self._group.join(write):",
    ),
    Mutant(
        "`done` written after the answer is used",
        "llm/asking.py",
        "        await asyncio.shield(self._finish(attempt, completion))",
        "        self._late = asyncio.create_task(self._finish(attempt, completion))",
        "tests/unit/llm/test_gateway.py::test_the_answer_is_recorded_before_it_is_used",
    ),
    Mutant(
        "request hash ignored",
        "core/calls.py",
        'return digest({"kind": "llm", **asdict(self)})',
        'return digest({"kind": "llm"})',
        "tests/unit/core/test_request_hash.py",
    ),
    Mutant(
        "generation raised by retry",
        "runs/lifecycle.py",
        '        "crash_streak": 0,',
        '        "crash_streak": 0,\n        "generation": run.generation + 1,',
        "tests/integration/engine/test_journal.py"
        "::test_a_retry_keeps_the_generation_so_that_paid_calls_stay_paid[sqlite]",
    ),
    Mutant(
        "index not restarted per attempt",
        "engine/context.py",
        "key = (place.step_key, place.attempt)",
        "key = (place.step_key, 0)",
        "tests/integration/engine/test_journal.py"
        "::test_calls_are_counted_from_the_start_in_each_attempt_of_a_step[sqlite]",
    ),
    Mutant(
        "outbox row in a second transaction",
        "engine/writer.py",
        "                await enqueue_run(connection, claim.run_id, why=exit_.why, at=exit_.at, available_at=due)\n"
        "            return seq if exit_.to in ENDED else await _settle(connection, claim, exit_)\n\n"
        "        await self._commit(write, transaction, token_after=claim.token + 1)",
        "            return seq if exit_.to in ENDED else await _settle(connection, claim, exit_)\n\n"
        "        await self._commit(write, transaction, token_after=claim.token + 1)\n"
        "        if exit_.to is Status.QUEUED:\n"
        "            async with self._database.write() as late:\n"
        "                await enqueue_run(late, claim.run_id, why=exit_.why, at=exit_.at)",
    ),
    Mutant(
        "reply before the commit",
        "api/routes/runs.py",
        "    run, is_replay = await _accept(services, spec)",
        "    if not parameters.wait:\n"
        "        from starlette.background import BackgroundTask\n\n"
        '        return Response("{}", status_code=202, background=BackgroundTask(_accept, services, spec))\n'
        "    run, is_replay = await _accept(services, spec)",
        "tests/integration/api/test_create_run.py::test_the_answer_leaves_after_the_commit",
    ),
    Mutant(
        "two answers accepted",
        "runs/interactions.py",
        '.where(interactions.c.id == found.id, interactions.c.status == "open")',
        ".where(interactions.c.id == found.id)",
    ),
    Mutant(
        "thread rule without the older run",
        "runs/claims.py",
        "        is_its_turn(),\n",
        "",
    ),
    Mutant(
        "heartbeat that does not extend the lease",
        "runs/claims.py",
        ".values(lease_expires_at=now_ms() + lease_ms)",
        ".values(lease_expires_at=runs.c.lease_expires_at)",
    ),
    Mutant(
        "COMPLETED without the graph's end",
        "engine/graphs.py",
        "    if state.next:",
        "    if False:",
        "tests/integration/engine/test_driver.py::test_a_graph_that_stops_at_a_breakpoint_is_not_completed",
    ),
    Mutant(
        "streak never cleared",
        "engine/statements.py",
        "crash_streak = CASE WHEN {is_progress} THEN 0",
        "crash_streak = CASE WHEN {is_progress} THEN runs.crash_streak",
        "tests/integration/engine/test_handing_over.py::test_a_checkpoint_clears_the_count_of_lost_workers[sqlite]",
    ),
)
