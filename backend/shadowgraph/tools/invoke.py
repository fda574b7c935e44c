"""The one way to run a registered tool: checked, journaled, bounded in time and size.

The order of a call: arguments against the schema, answer from the journal, `started`, the tool itself, result cleaned and shortened,
`finished`. A call in doubt is a person's to settle before it goes on. Grants, dry runs and approvals take their places between the schema and
the journal.
"""

import asyncio
import logging
from collections.abc import Mapping
from dataclasses import dataclass, replace

import orjson

from shadowgraph.core.calls import (
    AuthoredTool,
    CallId,
    ToolDescription,
    ToolJournal,
    ToolRecord,
    ToolRequest,
    ToolStart,
)
from shadowgraph.core.clock import Clock
from shadowgraph.core.doubts import REPEAT, RESULT, Doubt, ToolInDoubt, doubt_id
from shadowgraph.core.errors import Unavailable
from shadowgraph.core.json import Json, JsonObject, canonical
from shadowgraph.core.redaction import redact_values
from shadowgraph.core.text import sanitise
from shadowgraph.tools.compact import compact
from shadowgraph.tools.registry import Tool, ToolContext, ToolRegistry

logger = logging.getLogger(__name__)

MAX_ERROR_CHARACTERS = 500
MAX_AUTHORED_RESULT_BYTES = 1_000_000
"""An author's own tool may feed code and not only prompts, so it is shortened later than a registered one."""
MAX_SHOWN_ARGUMENTS_BYTES = 4_000
"""Of a call in doubt, for the person who is asked about it."""


class ToolFailed(Unavailable):
    """The tool ended with an error. The message is meant to be read by the model that asked for it."""

    code = "tool_failed"
    retryable = False


@dataclass(frozen=True, slots=True)
class _Work:
    """One call, ready to be made."""

    tool: Tool
    call: CallId
    start: ToolStart
    arguments: JsonObject


class ToolInvoker:
    """Implements `core.calls.ToolPort` for one run."""

    def __init__(self, *, registry: ToolRegistry, journal: ToolJournal, clock: Clock, run_id: str) -> None:
        self._registry = registry
        self._journal = journal
        self._clock = clock
        self._run_id = run_id

    def describe(self, name: str) -> ToolDescription:
        """Errors: `UnknownTool`."""
        return self._registry.require(name).description

    async def call(self, request: ToolRequest, call: CallId, *, authored: AuthoredTool | None = None) -> Json:
        """Errors: `UnknownTool`, `InvalidArguments`, `ToolFailed`, `ToolInDoubt`, what an authored tool passes, and the journal's own."""
        tool = _as_tool(authored) if authored else self._registry.require(request.tool)
        arguments = sanitise(request.arguments)
        tool.check(arguments)
        record = await self._journal.find(call)
        if record.answer is not None:
            return _from_json(record.answer)
        start = self._start(tool, request.agent, arguments, doubts=record.doubts)
        work = _Work(tool, replace(call, key=record.key), start, arguments)
        if record.state in ("in_doubt", "given_up") and not tool.may_repeat:
            return await self._settle(work, record)
        return await self._make(work)

    def _start(self, tool: Tool, agent: str, arguments: JsonObject, *, doubts: int) -> ToolStart:
        return ToolStart(
            tool=tool.name,
            agent=agent,
            schema_digest=tool.description.schema_digest,
            effect=tool.description.effect,
            arguments=canonical(arguments),
            at=self._clock.now(),
            doubts=doubts,
        )

    async def _settle(self, work: _Work, record: ToolRecord) -> Json:
        """What a person decided about a call in doubt.

        Errors: `ToolInDoubt` as long as nobody did, and when it was given up.
        """
        if record.state == "given_up":
            raise _given_up(work)
        if record.decision is None:
            raise _in_doubt(work)
        if record.decision == REPEAT:
            return await self._make(replace(work, start=replace(work.start, doubts=record.doubts + 1)))
        if isinstance(record.decision, Mapping):
            return await self._finish(work, _stored(work.tool, work.tool.adopt(record.decision[RESULT])))
        error = _given_up(work)
        await self._journal.give_up(work.call, work.start, error=error.message, at=self._clock.now())
        raise error

    async def _make(self, work: _Work) -> Json:
        await self._journal.start(work.call, work.start)
        return await self._finish(work, await self._run(work))

    async def _finish(self, work: _Work, result: bytes) -> Json:
        await self._journal.finish(work.call, work.start, result=result, at=self._clock.now())
        return _from_json(result)

    async def _run(self, work: _Work) -> bytes:
        tool = work.tool
        context = ToolContext(agent=work.start.agent, idempotency_key=f"{self._run_id}:{work.call.key}")
        try:
            async with asyncio.timeout(tool.timeout_seconds) as limit:
                value = await tool.run(work.arguments, context)
            return _stored(tool, value)
        except tool.passes as error:
            await self._fail(work, f"stopped by {type(error).__name__}")
            raise
        except Exception as error:
            timed_out = isinstance(error, TimeoutError) and limit.expired()
            if timed_out and not tool.may_repeat:
                raise _in_doubt(work) from error
            message = f"no answer within {tool.timeout_seconds} s" if timed_out else _describe(error)
            logger.info("tool %s failed: %s", tool.name, message)
            await self._fail(work, message)
            raise ToolFailed(f"tool {tool.name!r} failed: {message}", tool=tool.name) from error

    async def _fail(self, work: _Work, error: str) -> None:
        await self._journal.fail(work.call, work.start, error=error, at=self._clock.now())


def _as_tool(authored: AuthoredTool) -> Tool:
    async def run(arguments: JsonObject, context: ToolContext) -> Json:
        return await authored.run(arguments)

    return Tool(
        authored.description,
        run=run,
        timeout_seconds=None,
        max_result_bytes=MAX_AUTHORED_RESULT_BYTES,
        passes=authored.passes,
        adopt=authored.adopt,
    )


def _in_doubt(work: _Work) -> ToolInDoubt:
    tool, call = work.tool, work.call
    doubt = Doubt(
        id=doubt_id(call.key, call.request_hash, work.start.doubts),
        tool=tool.name,
        effect=tool.description.effect,
        agent=work.start.agent,
        arguments=compact(redact_values(work.arguments), max_bytes=MAX_SHOWN_ARGUMENTS_BYTES),
        call_key=call.key,
    )
    return ToolInDoubt(
        f"a call of tool {tool.name!r} was begun and its end is unknown; it may have taken effect and is not repeated",
        doubt=doubt,
        hint="look whether it took effect before you start the run again",
        tool=tool.name,
        call=call.key,
    )


def _given_up(work: _Work) -> ToolInDoubt:
    return ToolInDoubt(
        f"a call of tool {work.tool.name!r} was begun and its end is unknown; a person was asked and gave it up",
        doubt=None,
        hint="retry the run to be asked again",
        tool=work.tool.name,
        call=work.call.key,
    )


def _describe(error: Exception) -> str:
    return f"{type(error).__name__}: {error}"[:MAX_ERROR_CHARACTERS]


def _stored(tool: Tool, value: Json) -> bytes:
    """A result as it stands in the journal: clean, and shortened when it is long."""
    return canonical(compact(sanitise(value), max_bytes=tool.max_result_bytes))


def _from_json(body: bytes) -> Json:
    value: Json = orjson.loads(body)
    return value
