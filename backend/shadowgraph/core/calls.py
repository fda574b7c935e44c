"""What a node can reach while it runs, as values and ports.

`authoring` speaks these, `llm` and `tools` serve them, `engine` keeps the journal behind them, `wiring/standalone.py` fills them
outside any run. Nothing here does I/O.

A *call* is one logical LLM or tool call as the node asked for it; its key says where in the graph it stands:
generation / parent namespace / node / superstep / path / index. An *attempt* is one request to one provider, and is what is billed.
"""

from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from contextvars import ContextVar
from dataclasses import asdict, dataclass, field, replace
from datetime import datetime
from decimal import Decimal
from pathlib import Path
from typing import Any, Literal, Protocol, runtime_checkable

import orjson

from shadowgraph.core.agent_settings import AgentSettings
from shadowgraph.core.errors import OverBudget
from shadowgraph.core.json import Json, JsonObject, digest

Effect = Literal["pure", "read", "write", "irreversible"]
TokensSource = Literal["provider", "estimated"]


@dataclass(frozen=True, slots=True)
class Place:
    """Where in the graph a node's code stands; read from LangGraph's own config by `authoring/place.py`."""

    namespace: str
    """Names and task ids of the parent subgraphs, `""` in the root graph."""
    node: str
    superstep: int
    path: str
    """Which of several tasks of this node in this superstep (`Send` fan-out)."""
    attempt: int = 1
    """LangGraph's own retry of the node within the superstep; not part of the key, it restarts the call index."""

    @property
    def step_key(self) -> str:
        return f"{self.namespace}/{self.node}/{self.superstep}/{self.path}"


@dataclass(frozen=True, slots=True)
class CallId:
    """Names one logical call for good: a finished call with the same id is answered from the journal."""

    key: str
    """generation/namespace/node/superstep/path/index; `""` never occurs."""
    request_hash: str
    place: Place | None = None
    """None: the call could not find its place in the graph (a bare thread) and cannot be replayed unless it had an explicit key."""
    is_replayable: bool = True
    """False: the key never comes again, so after a crash the call is made again."""


# --- LLM calls ------------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class LlmRequest:
    """One chat request, provider-neutral. Messages, tools and tool choice have the OpenAI chat shape as plain JSON."""

    agent: str
    """Who asks: the node's name unless the author said otherwise."""
    messages: Sequence[JsonObject]
    route: str = "default"
    """A route is live configuration; the resolved target is no part of the request's hash."""
    model: str | None = None
    """An explicit `provider:model`, which then belongs to the snapshot."""
    parameters: JsonObject = field(default_factory=dict)
    """temperature, max_tokens, top_p, stop, seed."""
    tools: Sequence[JsonObject] = ()
    tool_choice: Json = None
    output_schema: JsonObject | None = None
    """Set when the author asked for a structured answer; such a call emits no deltas."""

    def request_hash(self) -> str:
        return digest({"kind": "llm", **asdict(self)})


@dataclass(frozen=True, slots=True)
class ToolCall:
    id: str
    name: str
    arguments: JsonObject


@dataclass(frozen=True, slots=True)
class Usage:
    """Tokens of one request. `cached_tokens` are part of `prompt_tokens`, `reasoning_tokens` part of `completion_tokens`."""

    prompt_tokens: int
    completion_tokens: int
    cached_tokens: int = 0
    reasoning_tokens: int = 0
    source: TokensSource = "provider"


PriceSource = Literal["override", "provider", "list", "synthetic"]


@dataclass(frozen=True, slots=True)
class Priced:
    """What an attempt cost."""

    cost_nano_usd: int | None
    """None: unknown, which is not the same as 0."""
    unit_prices: JsonObject | None = None
    """What was reckoned with: USD per million tokens, by kind of token; None when the sum itself was reported or nothing is known."""
    source: PriceSource | None = None
    """override: set by a person; provider: reported with the answer; list: the price list; synthetic: the offline model's play money."""


@dataclass(frozen=True, slots=True)
class Completion:
    """A model's whole answer, in a form of our own: stored as JSON, never as a library's serialisation."""

    text: str
    model: str
    provider: str
    usage: Usage
    tool_calls: Sequence[ToolCall] = ()
    finish_reason: str = "stop"
    """stop, length, tool_calls, content_filter, or what the provider said."""
    synthetic: bool = False
    """True: written by the rule-based offline model."""
    left_out_characters: int = 0
    """Of the request's texts: no model took all of it."""

    def to_json(self) -> bytes:
        return orjson.dumps(asdict(self))

    @staticmethod
    def from_json(body: bytes) -> "Completion":
        value = orjson.loads(body)
        return Completion(
            **{
                **value,
                "usage": Usage(**value["usage"]),
                "tool_calls": tuple(ToolCall(**call) for call in value["tool_calls"]),
            }
        )


@dataclass(frozen=True, slots=True)
class AttemptStart:
    """One request that is about to leave for a provider."""

    n: int
    """1, 2, … within the logical call, over all workers that tried it."""
    provider: str
    model: str
    at: datetime
    estimated_prompt_tokens: int
    route: str | None = None
    """None: the author named the model, or the request passed no route."""
    route_number: int | None = None
    """Which change of the route said so; 0 is what the settings say."""
    max_completion_tokens: int | None = None
    """None: the request sets no limit."""
    left_out_characters: int = 0
    """Of the request's texts, after a model had refused the whole of it."""


@dataclass(frozen=True, slots=True)
class AttemptEnd:
    n: int
    at: datetime
    usage: Usage | None
    """None: nothing is known and nothing was billed (refused before the first token)."""
    error_class: str | None = None
    """rate_limited, timeout, server_error, broken_stream, auth, bad_request, …; None for success."""
    ttft_ms: int | None = None
    latency_ms: int | None = None
    priced: Priced | None = None
    """None: nobody asked for its price, because nothing was billed or there is no price list."""


@dataclass(frozen=True, slots=True)
class Recorded:
    """What the journal knows of a call."""

    answer: bytes | None
    """The stored answer of a finished call; None when it was started but not finished (in doubt, rejected)."""
    attempts: int
    """Attempts made so far; the next one gets this number plus one."""
    failed: bool = False
    """It ended with an error. No answer and not failed means that nobody saw the end: in doubt."""
    key: str | None = None
    """Under which the call stands from now on, when that is not its own: calls side by side may come in another order after a crash."""

    def rename(self, call: "CallId") -> "CallId":
        """The call as it stands in the journal."""
        return replace(call, key=self.key) if self.key else call


@dataclass(frozen=True, slots=True)
class Wish:
    """An attempt that wants to leave, as far as its cost can be known before."""

    call: CallId
    attempt: int
    agent: str
    provider: str
    model: str
    prompt_tokens: int
    """Estimated."""
    max_completion_tokens: int | None
    """None: the request sets no limit."""


@dataclass(frozen=True, slots=True)
class Hold:
    """Money that is set aside for one attempt until it is settled; one that is never settled expires by itself."""

    id: str
    nano_usd: int


class FallBack(OverBudget):
    """The budget has room for a cheaper target only: the next one of the route is asked for."""

    code = "budget_fall_back"


class Purse(Protocol):
    """The budgets that apply to one run."""

    async def reserve(self, wish: Wish) -> Hold | None:
        """None: nothing has to be set aside.

        Errors: `FallBack`; any other `core.errors.OverBudget` ends the call before anything has left.
        """
        ...

    async def settle(self, hold: Hold, cost_nano_usd: int | None) -> None:
        """After the attempt is in the journal. 0 gives the money back; None: the cost is unknown."""
        ...


class PriceList(Protocol):
    def price(
        self, provider: str, model: str, usage: Usage, *, at: datetime, reported_cost: Decimal | None = None
    ) -> Priced:
        """`reported_cost`: USD, as the provider itself said with the answer."""
        ...


class LlmJournal(Protocol):
    """Ledger, audit and replay of LLM calls. Every method is one fenced write; `core.errors.ShadowgraphError` subclasses tell a lost lease."""

    async def find(self, call: CallId) -> Recorded | None: ...

    async def start(self, call: CallId, *, agent: str, attempt: AttemptStart) -> None: ...

    async def retry(
        self, call: CallId, *, agent: str, ended: AttemptEnd, attempt: AttemptStart, error: str, wait_seconds: float
    ) -> None:
        """Closes attempt n and opens n + 1 in one write. `wait_seconds` is how long the caller waited in between, for the event."""
        ...

    async def finish(self, call: CallId, *, agent: str, ended: AttemptEnd, answer: bytes) -> None:
        """Must have returned before the answer is used."""
        ...

    async def reject(self, call: CallId, *, agent: str, ended: AttemptEnd, error: str) -> None:
        """The call is over without an answer that may be replayed; a retry of the run may ask again."""
        ...

    async def cut(self, call: CallId, *, agent: str, ended: AttemptEnd) -> None:
        """The caller was cancelled while the attempt was under way: the call is in doubt and its estimate is booked."""
        ...


@dataclass(frozen=True, slots=True)
class ForeignCall:
    """A call that is made by a model object of an author's own: its answer is journaled, its requests are metered by callbacks."""

    id: CallId
    agent: str
    attempts: Iterator[int]
    """The number of the next request, over all workers that tried it. Any thread may take one."""


current_foreign_call: ContextVar[ForeignCall | None] = ContextVar("shadowgraph_current_foreign_call", default=None)
"""Set around the call, so that the requests below it count as its attempts."""

CHAT_MODEL_TYPE = "shadowgraph"
"""What LangChain's callbacks call our own chat model: its requests are in the ledger already and must not be metered again."""


class AnswerJournal(Protocol):
    """Answers of foreign calls, for replay. Money and tokens stand with the requests, which callbacks meter."""

    async def find(self, call: CallId) -> bytes | None:
        """The answer of a finished call."""
        ...

    async def start(self, call: CallId, *, agent: str) -> ForeignCall: ...

    async def finish(self, call: CallId, *, answer: bytes) -> None:
        """Must have returned before the answer is used."""
        ...

    async def reject(self, call: CallId) -> None:
        """The call is over without an answer that may be replayed."""
        ...


# --- tool calls -----------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class ToolRequest:
    agent: str
    tool: str
    arguments: JsonObject

    def request_hash(self) -> str:
        return digest({"kind": "tool", "tool": self.tool, "arguments": self.arguments})


@dataclass(frozen=True, slots=True)
class ToolStart:
    tool: str
    agent: str
    schema_digest: str
    effect: Effect
    arguments: bytes
    """Canonical JSON."""
    at: datetime
    doubts: int = 0
    """How many doubts about the call were settled before."""


ToolState = Literal["new", "done", "failed", "in_doubt", "given_up"]
"""in_doubt: begun, and nobody saw the end; given_up: a person was asked about that and does not want it repeated."""


@dataclass(frozen=True, slots=True)
class ToolRecord:
    """What the journal knows of a tool call."""

    key: str
    """The call's key from now on: of calls side by side that ask the same, each takes over one that was begun before a crash."""
    state: ToolState = "new"
    answer: bytes | None = None
    """The stored result; set exactly when done."""
    doubts: int = 0
    """How many doubts about it a person has settled."""
    decision: Json = None
    """What a person answered to the present doubt; None: nobody has yet."""


class ToolJournal(Protocol):
    """Journal, audit and (later) cassette of tool calls."""

    async def find(self, call: CallId) -> ToolRecord: ...

    async def start(self, call: CallId, start: ToolStart) -> None: ...

    async def finish(self, call: CallId, start: ToolStart, *, result: bytes, at: datetime) -> None: ...

    async def fail(self, call: CallId, start: ToolStart, *, error: str, at: datetime) -> None: ...

    async def give_up(self, call: CallId, start: ToolStart, *, error: str, at: datetime) -> None:
        """Its end stays unknown, and it is not made again unless the whole run is retried and a person says so then."""
        ...


# --- what a node sees -----------------------------------------------------------------------------------------------------------


class DeltaSink(Protocol):
    """Gets each piece of text of an answer as it arrives."""

    async def __call__(self, text: str) -> None: ...

    async def restart(self) -> None:
        """All text so far is void: the stream broke and the whole call is made again, from its first character."""
        ...


AnswerCheck = Callable[[Completion], str | None]
"""Says why an answer cannot be used, or None. A refused answer is never recorded as the call's answer; the model is asked once more with the reason."""


class ModelPort(Protocol):
    """The single door to every LLM, bound to the current run."""

    async def call(
        self,
        request: LlmRequest,
        call: CallId,
        on_delta: DeltaSink | None = None,
        *,
        check: AnswerCheck | None = None,
    ) -> Completion:
        """An answer from the journal passed its check when it was recorded."""
        ...


class ToolPort(Protocol):
    """Runs a tool by its name, bound to the current run."""

    async def call(self, request: ToolRequest, call: CallId, *, authored: "AuthoredTool | None" = None) -> Json:
        """`authored` is run instead of a registered tool of that name; everything else (schema check, journal, limits) is the same."""
        ...

    def describe(self, name: str) -> "ToolDescription": ...


@dataclass(frozen=True, slots=True)
class ToolDescription:
    """What a model is told about a tool, and what it may do."""

    name: str
    description: str
    parameters: Mapping[str, Any]
    """JSON schema of the arguments (an object)."""
    effect: Effect = "write"
    idempotent: bool = False
    version: str = "1"

    @property
    def schema_digest(self) -> str:
        return digest(
            {"name": self.name, "version": self.version, "description": self.description, "parameters": self.parameters}
        )


@runtime_checkable
class DeclaredTool(Protocol):
    """A tool object that the authoring functions made, whatever library class it is."""

    facts: ToolDescription | None
    """None: a registered tool, which the registry describes."""


@dataclass(frozen=True, slots=True)
class AuthoredTool:
    """A tool that stands in an author's own code instead of the registry."""

    description: ToolDescription
    run: Callable[[JsonObject], Awaitable[Json]]
    passes: tuple[type[Exception], ...] = ()
    """Not failures but the graph library's way to stop a node (a question to a person): the call is recorded as failed, so that it
    runs again when the node is entered again, and the exception goes on unchanged."""
    adopt: Callable[[Json], Json] = lambda result: result
    """Makes what `run` would have returned of the result that a person looked up."""


class RunPorts(Protocol):
    """All that the authoring functions can reach: of the current run, or of no run (`wiring/standalone.py`)."""

    @property
    def run_id(self) -> str: ...

    @property
    def generation(self) -> int: ...

    @property
    def project_dir(self) -> Path:
        """The folder with `langgraph.json`; prompts and `shadowgraph.toml` stand below it."""
        ...

    @property
    def agents(self) -> Mapping[str, AgentSettings]:
        """What the project's `shadowgraph.toml` says, by agent."""
        ...

    @property
    def models(self) -> ModelPort: ...

    @property
    def answers(self) -> AnswerJournal: ...

    @property
    def tools(self) -> ToolPort: ...

    def next_index(self, place: Place) -> int:
        """Index of the next call in issue order; restarts with each attempt of the step. Safe to call from any thread."""
        ...

    def add_artifact(self, path: str, body: bytes, *, media_type: str, place: Place | None = None) -> None:
        """Kept with the node's own boundary write, so that a node that runs again leaves one copy. Safe to call from any thread.

        Errors: `core.paths.UnsafePath` for a path that is absolute, climbs, or cannot stand in a file system.
        """
        ...

    def add_note(self, message: str, **facts: Json) -> None:
        """A `note` event of the current step."""
        ...

    def run_blocking(self, work: Awaitable[Any]) -> Any:
        """Runs async work of these ports from a thread of a sync node and waits for it."""
        ...


current_ports: ContextVar[RunPorts | None] = ContextVar("shadowgraph_current_ports", default=None)
"""Set by the driver around the graph. Threads that a node starts inherit it through `contextvars.copy_context()`, else by `core/threads.py`."""
