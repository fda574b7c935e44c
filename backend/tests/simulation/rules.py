"""What must hold after every transaction, whatever was lost, late, doubled, frozen or dead before it.

The rules look only at what the database says (see `witness.py`), at what the provider was asked, and at what became of the processes.
"""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace

from shadowgraph.runs.states import ENDED, WAITS_FOR_A_PERSON, Status, is_legal
from shadowgraph.runs.takeover import MAX_CRASH_STREAK, MAX_TAKEOVERS
from shadowgraph.runs.threads import UNFINISHED
from tests.simulation.witness import Change, Fields, Transaction

STARTED = (Status.RUNNING, Status.AWAITING_HUMAN, Status.PAUSED, Status.BUDGET_EXCEEDED)
RUN_FINISHED = "run.finished"
MS_OF_ROUNDING = 5
"""A Julian day in a float is exact to a millisecond or so."""


@dataclass(frozen=True, slots=True)
class KnownRun:
    """What the rules remember of a run, all of it from committed transactions."""

    number: int
    """In the order in which they were created."""
    name: str
    row: Fields
    last_event: int = 0
    tokens: frozenset[int] = frozenset()
    """Of all claims so far."""
    streak: int = 0
    """Since its last checkpoint or retry."""
    heard_at_ms: int = 0
    """When its owner last knew for sure that it has the run: its claim, or a heartbeat. In time with a database."""
    checkpoints: tuple[str, ...] = ()
    has_started: bool = False
    is_told_to: str | None = None
    """What somebody wanted of the worker that has it now."""
    calls: frozenset[tuple[str, str, str]] = frozenset()
    """Key, request and status of each."""
    questions: tuple[tuple[str, str], ...] = ()
    """Id and status of each."""

    @property
    def status(self) -> Status:
        return Status(self.row["status"])

    @property
    def thread(self) -> str:
        return str(self.row["thread_id"])

    def has_paid_for(self, key: str, request: str) -> bool:
        return (key, request, "done") in self.calls


@dataclass(frozen=True, slots=True)
class Memory:
    """Everything that was committed so far; a new one after every transaction, so that a schedule can be taken back."""

    runs: Mapping[str, KnownRun] = field(default_factory=dict)
    messages: frozenset[tuple[int, str, int]] = frozenset()
    """Outbox rows that are not published: number, run id, due at."""

    def on_thread_of(self, run: KnownRun) -> list[KnownRun]:
        """The other runs."""
        return [other for other in self.runs.values() if other.thread == run.thread and other is not run]

    def older(self, run: KnownRun) -> list[KnownRun]:
        return [other for other in self.on_thread_of(run) if other.number < run.number]

    def rests(self, run: KnownRun) -> bool:
        """Ended, in front of a person, or behind such a run on its thread."""
        if run.status in ENDED or run.status in WAITS_FOR_A_PERSON:
            return True
        blockers = (other.status for other in self.older(run))
        return run.status is Status.QUEUED and any(status in WAITS_FOR_A_PERSON for status in blockers)


Rule = Callable[[Memory, Transaction], Iterator[str]]


def judge(known: Memory, transaction: Transaction) -> list[str]:
    """What this transaction, the next after those that are known, violates."""
    known = _with_newcomers(known, transaction)
    return [f"{rule.__name__}: {found}" for rule in RULES for found in rule(known, transaction)]


# --- memory -----------------------------------------------------------------------------------------------------------------


def remember(known: Memory, transaction: Transaction) -> Memory:
    known = _with_newcomers(known, transaction)
    runs = dict(known.runs)
    for change in transaction.changes:
        if change.run_id in runs and change.table in _MEMORIES:
            runs[change.run_id] = _MEMORIES[change.table](runs[change.run_id], change, transaction)
    return Memory(runs, _with_messages(known.messages, transaction))


def hear(known: Memory, run_id: str, *, at_ms: int) -> Memory:
    """The heartbeat told the owner that the run is its own."""
    run = replace(known.runs[run_id], heard_at_ms=at_ms)
    return replace(known, runs={**known.runs, run_id: run})


def _with_newcomers(known: Memory, transaction: Transaction) -> Memory:
    new = [change for change in transaction.of("runs") if change.before is None]
    if not new:
        return known
    runs = dict(known.runs)
    for change in new:
        runs[change.run_id] = KnownRun(len(runs), str(change.after["input_preview"]).split()[0], change.after)
    return replace(known, runs=runs)


def _with_messages(
    messages: frozenset[tuple[int, str, int]], transaction: Transaction
) -> frozenset[tuple[int, str, int]]:
    for change in transaction.of("outbox"):
        row = (change.after["id"], change.run_id, change.after["available_at"])
        messages = messages - {row} if change.after["published_at"] else messages | {row}
    return messages


def _remember_run(run: KnownRun, change: Change, transaction: Transaction) -> KnownRun:
    before, after = change.before or {}, change.after
    was, is_now = before.get("status"), after["status"]
    if _claims(change):
        tokens = run.tokens | {after["lease_token"]}
        run = replace(run, tokens=tokens, has_started=True, heard_at_ms=transaction.contact_ms)
    if was == Status.RUNNING and is_now != Status.RUNNING and not transaction.claim:
        run = replace(run, streak=run.streak + 1)
    if was == Status.FAILED and is_now == Status.QUEUED:
        run = replace(run, streak=0)
    told = after["control"] or run.is_told_to
    return replace(run, row=after, is_told_to=told if is_now == Status.RUNNING or after["control"] else None)


def _remember_event(run: KnownRun, change: Change, _transaction: Transaction) -> KnownRun:
    return replace(run, last_event=max(run.last_event, change.after["seq"]))


def _remember_checkpoint(run: KnownRun, change: Change, _transaction: Transaction) -> KnownRun:
    found = change.after["checkpoint_id"]
    checkpoints = run.checkpoints if found in run.checkpoints else (*run.checkpoints, found)
    return replace(run, checkpoints=checkpoints, streak=0)


def _remember_call(run: KnownRun, change: Change, _transaction: Transaction) -> KnownRun:
    key, request, status = change.after["call_key"], change.after["request_hash"], change.after["status"]
    others = {call for call in run.calls if call[:2] != (key, request)}
    return replace(run, calls=frozenset(others | {(key, request, status)}))


def _remember_question(run: KnownRun, change: Change, _transaction: Transaction) -> KnownRun:
    after = change.after
    questions = tuple({**dict(run.questions), after["id"]: after["status"]}.items())
    return replace(run, questions=questions)


_MEMORIES = {
    "runs": _remember_run,
    "events": _remember_event,
    "checkpoints": _remember_checkpoint,
    "llm_calls": _remember_call,
    "interactions": _remember_question,
}


def _claims(change: Change) -> bool:
    before = change.before or {}
    return before.get("status") == Status.QUEUED and change.after["status"] == Status.RUNNING


def _moves(transaction: Transaction) -> Iterator[tuple[Change, Fields]]:
    """Updates of runs that change the status, with what stood there before."""
    for change in transaction.of("runs"):
        if change.before and change.before["status"] != change.after["status"]:
            yield change, change.before


def _final(transaction: Transaction) -> dict[str, Change]:
    """The last change of each run in this transaction."""
    return {change.run_id: change for change in transaction.of("runs")}


# --- the rules --------------------------------------------------------------------------------------------------------------


def transitions_are_legal(known: Memory, transaction: Transaction) -> Iterator[str]:
    for change, before in _moves(transaction):
        if not is_legal(Status(before["status"]), Status(change.after["status"])):
            yield f"{known.runs[change.run_id].name} {before['status']} > {change.after['status']}"


def tokens_only_grow(known: Memory, transaction: Transaction) -> Iterator[str]:
    """Each claim and each exit raises the token, so that a token names one owner for good."""
    for change in transaction.of("runs"):
        before, after, run = change.before, change.after, known.runs[change.run_id]
        if before is None:
            continue
        if after["lease_token"] < before["lease_token"]:
            yield f"{run.name} from {before['lease_token']} to {after['lease_token']}"
        crosses = (before["status"] == Status.RUNNING) != (after["status"] == Status.RUNNING)
        if crosses and after["lease_token"] <= before["lease_token"]:
            yield f"{run.name} kept {after['lease_token']} from {before['status']} to {after['status']}"
        if _claims(change) and after["lease_token"] in run.tokens:
            yield f"{run.name} has two owners with token {after['lease_token']}"


def events_are_numbered_without_gaps(known: Memory, transaction: Transaction) -> Iterator[str]:
    numbers: defaultdict[str, list[int]] = defaultdict(list)
    for change in transaction.of("events"):
        if change.before is None and change.run_id in known.runs:
            numbers[change.run_id].append(change.after["seq"])
    for run_id, found in numbers.items():
        run = known.runs[run_id]
        expected = list(range(run.last_event + 1, run.last_event + 1 + len(found)))
        if found != expected:
            yield f"{run.name} got {found} after {run.last_event}"
    for run_id, change in _final(transaction).items():
        reached = max([known.runs[run_id].last_event, *numbers.get(run_id, [])])
        if change.after["event_seq"] != reached:
            yield f"{known.runs[run_id].name} counts {change.after['event_seq']}, its last event is {reached}"


def only_the_owner_writes(known: Memory, transaction: Transaction) -> Iterator[str]:
    """A worker that was replaced, or that has left, changes nothing at all."""
    claim = transaction.claim
    if claim is None or not transaction.changes:
        return
    run = known.runs[claim.run_id]
    if run.status is not Status.RUNNING or run.row["lease_token"] != claim.token:
        tables = sorted({change.table for change in transaction.changes})
        yield f"{run.name} is {run.status} with token {run.row['lease_token']}; {claim.token} wrote {tables}"
    strangers = {change.run_id for change in transaction.changes} - {claim.run_id}
    if strangers:
        yield f"the owner of {run.name} wrote rows of {sorted(strangers)}"


def an_end_is_told_once(known: Memory, transaction: Transaction) -> Iterator[str]:
    ends = Counter((c.run_id, c.after["status"]) for c, _ in _moves(transaction) if c.after["status"] in ENDED)
    told = Counter(
        (change.run_id, change.after["payload"]["status"])
        for change in transaction.of("events")
        if change.before is None and change.after["type"] == RUN_FINISHED
    )
    for key in ends | told:
        if ends[key] != told[key]:
            yield f"{known.runs[key[0]].name} became {key[1]} {ends[key]} times and told it {told[key]} times"


def who_waits_for_a_worker_has_a_message(known: Memory, transaction: Transaction) -> Iterator[str]:
    """The message is written in the transaction that makes the run claimable, or not at all."""
    messages = {change.run_id for change in transaction.of("outbox") if change.before is None}
    for run_id, change in _final(transaction).items():
        was = known.runs[run_id].row["status"] if change.before else None
        if change.after["status"] == Status.QUEUED and was != Status.QUEUED and run_id not in messages:
            yield f"{known.runs[run_id].name} is QUEUED without an outbox row"


def threads_go_in_order(known: Memory, transaction: Transaction) -> Iterator[str]:
    for change in filter(_claims, transaction.of("runs")):
        run = known.runs[change.run_id]
        before = [other.name for other in known.older(run) if other.status in UNFINISHED]
        others = known.on_thread_of(run)
        beside = [other.name for other in others if other.has_started and other.status in STARTED]
        if before or beside:
            yield f"{run.name} started before {before} and beside {beside}"


def an_answer_is_given_once(known: Memory, transaction: Transaction) -> Iterator[str]:
    for change in transaction.of("interactions"):
        run, before, after = known.runs[change.run_id], change.before or {}, change.after
        is_asked_again = before.get("status") == "closed" and after["status"] == "open"  # its run was retried
        if before.get("status") in ("answered", "closed") and before != after and not is_asked_again:
            yield f"{run.name} {before['status']} became {after['status']}: {before['answer']} > {after['answer']}"


def only_who_waits_asks(known: Memory, transaction: Transaction) -> Iterator[str]:
    """AWAITING_HUMAN has an open question, and nobody is asked about a run that has ended."""
    for run_id in {change.run_id for change in transaction.changes if change.table in ("runs", "interactions")}:
        run = known.runs[run_id]
        final = _final(transaction).get(run_id)
        status = Status(final.after["status"]) if final else run.status
        asked = dict(run.questions)
        asked.update({c.after["id"]: c.after["status"] for c in transaction.of("interactions") if c.run_id == run_id})
        is_open = "open" in asked.values()
        if status in ENDED and is_open:
            yield f"{run.name} is {status} and still asks"
        if status is Status.AWAITING_HUMAN and not is_open:
            yield f"{run.name} waits for an answer to no question"


def the_dead_say_nothing(known: Memory, transaction: Transaction) -> Iterator[str]:
    """After `run.finished` a run has no more events, unless it is queued again."""
    for change in transaction.of("events"):
        run = known.runs[change.run_id]
        if change.before is None and run.status in ENDED and change.after["type"] != "run.queued":
            final = _final(transaction).get(change.run_id)
            if final is None or final.after["status"] in ENDED:
                yield f"{run.name} is {run.status} and says {change.after['type']}"


def wishes_end_with_the_claim(known: Memory, transaction: Transaction) -> Iterator[str]:
    """`control` is what somebody wants of a worker: without one it means nothing and would surprise the next."""
    for run_id, change in _final(transaction).items():
        if change.after["control"] is not None and change.after["status"] != Status.RUNNING:
            yield f"{known.runs[run_id].name} is {change.after['status']} and still to be {change.after['control']}"


def what_was_asked_for_is_kept(known: Memory, transaction: Transaction) -> Iterator[str]:
    """A run that is to be cancelled (paused) leaves RUNNING only cancelled (paused), or because it ended first."""
    for run_id, change in _final(transaction).items():
        run, status = known.runs[run_id], Status(change.after["status"])
        if run.status is not Status.RUNNING or status is Status.RUNNING or status in ENDED:
            continue
        if run.is_told_to == "cancel":
            yield f"{run.name} was to be cancelled and is {status}"
        elif run.is_told_to == "pause" and status is not Status.PAUSED:
            yield f"{run.name} was to be paused and is {status}"


def only_the_silent_lose_their_runs(known: Memory, transaction: Transaction) -> Iterator[str]:
    """An outage for everybody takes nothing from a worker: what counts is how long it was silent though the database was there."""
    for change, before in _moves(transaction):
        if before["status"] != Status.RUNNING or transaction.claim is not None:
            continue
        run = known.runs[change.run_id]
        silent_ms = transaction.contact_ms - run.heard_at_ms
        if silent_ms < transaction.patience_ms - MS_OF_ROUNDING:
            yield f"{run.name} was taken from an owner that was silent for {silent_ms} ms"


def only_killers_fail_as_lost(known: Memory, transaction: Transaction) -> Iterator[str]:
    """Progress clears the count of a run's lost workers."""
    for change, before in _moves(transaction):
        run = known.runs[change.run_id]
        if before["status"] != Status.RUNNING or transaction.claim is not None:
            continue
        is_killer = run.streak + 1 >= MAX_CRASH_STREAK or before["takeovers"] + 1 >= MAX_TAKEOVERS
        if change.after["status"] == Status.FAILED and not is_killer:
            yield f"{run.name} failed after losing {run.streak + 1} workers in a row"
        if change.after["status"] == Status.QUEUED and is_killer:
            yield f"{run.name} goes on after losing {run.streak + 1} workers in a row"


def checkpoints_are_one_line(known: Memory, transaction: Transaction) -> Iterator[str]:
    for change in transaction.of("checkpoints"):
        run, after = known.runs[change.run_id], change.after
        last = run.checkpoints[-1] if run.checkpoints else None
        if after["checkpoint_id"] not in run.checkpoints and after["parent_checkpoint_id"] != last:
            yield f"{run.name} has two checkpoints after {after['parent_checkpoint_id']}"


def calls_in_flight_are_marked(known: Memory, transaction: Transaction) -> Iterator[str]:
    """Whoever leaves or loses a run says which of its calls nobody knows the end of."""
    for change, before in _moves(transaction):
        if before["status"] != Status.RUNNING:
            continue
        calls = {call[:2]: call[2] for call in known.runs[change.run_id].calls}
        for found in transaction.of("llm_calls"):
            if found.run_id == change.run_id:
                calls[(found.after["call_key"], found.after["request_hash"])] = found.after["status"]
        if "started" in calls.values():
            yield f"{known.runs[change.run_id].name} is {change.after['status']} with a call that nobody makes"


RULES: tuple[Rule, ...] = (
    transitions_are_legal,
    tokens_only_grow,
    events_are_numbered_without_gaps,
    only_the_owner_writes,
    an_end_is_told_once,
    who_waits_for_a_worker_has_a_message,
    threads_go_in_order,
    an_answer_is_given_once,
    only_who_waits_asks,
    the_dead_say_nothing,
    wishes_end_with_the_claim,
    what_was_asked_for_is_kept,
    only_the_silent_lose_their_runs,
    only_killers_fail_as_lost,
    checkpoints_are_one_line,
    calls_in_flight_are_marked,
)
