"""Tools whose calls go through the run: journaled, so that a finished one is not made again after a crash."""

import asyncio
import functools
import inspect
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, nullcontext
from contextvars import copy_context
from typing import Any, cast, overload

from langchain_core.messages import BaseMessage
from langchain_core.runnables import RunnableConfig
from langchain_core.tools import BaseTool, StructuredTool
from langchain_core.utils.function_calling import convert_to_openai_tool
from langgraph.errors import GraphBubbleUp, GraphInterrupt
from langgraph.types import Command, Interrupt
from pydantic import Field
from pydantic_core import PydanticSerializationError, to_jsonable_python

from shadowgraph.authoring.grants import require_granted
from shadowgraph.authoring.place import find_place, is_in_graph_of, lane, next_call_id
from shadowgraph.authoring.ports import require_ports
from shadowgraph.core.calls import AuthoredTool, Effect, RunPorts, ToolDescription, ToolRequest
from shadowgraph.core.doubts import ANSWER_SCHEMA, ToolInDoubt, question_about
from shadowgraph.core.errors import ShadowgraphError
from shadowgraph.core.json import Json, JsonObject
from shadowgraph.core.text import NotJson, sanitise

Function = Callable[..., Any]
"""Sync or async; its name, signature and docstring make the schema that the model sees."""


@overload
def tool(name_or_function: str, /) -> StructuredTool: ...
@overload
def tool(name_or_function: Function | BaseTool, /) -> StructuredTool: ...
@overload
def tool(
    *, effect: Effect = "write", idempotent: bool = False, name: str | None = None
) -> Callable[[Function | BaseTool], StructuredTool]: ...
def tool(
    name_or_function: str | Function | BaseTool | None = None,
    /,
    *,
    effect: Effect = "write",
    idempotent: bool = False,
    name: str | None = None,
) -> StructuredTool | Callable[[Function | BaseTool], StructuredTool]:
    """`tool("web_search")` gives a registered tool; as a decorator it makes one of a function, or takes over a LangChain tool.

    `effect` says what may happen when a call is made a second time, because nobody saw the end of the first: "pure" and "read" calls
    are simply made again, so is an idempotent "write"; before any other the run waits for a person, who says whether it took effect.
    Undeclared means "write". Results must be JSON.
    """
    if isinstance(name_or_function, str):
        return _registered(name_or_function)
    decorate = functools.partial(_authored, effect=effect, idempotent=idempotent, name=name)
    return decorate if name_or_function is None else decorate(name_or_function)


class JournaledTool(StructuredTool):
    """Built by `tool`."""

    facts: ToolDescription | None = Field(default=None, exclude=True, repr=False)
    """What its author declared; None: it is a registered one."""

    def invoke(self, input: Any, config: RunnableConfig | None = None, **kwargs: Any) -> Any:
        with lane_of(input):
            return super().invoke(input, config, **kwargs)

    async def ainvoke(self, input: Any, config: RunnableConfig | None = None, **kwargs: Any) -> Any:
        with lane_of(input):
            return await super().ainvoke(input, config, **kwargs)


def lane_of(call: Any) -> AbstractContextManager[None]:
    """Tool calls of one answer run side by side, in any order; the id that the model gave each one comes back with the journal."""
    return (
        lane(call["id"])
        if isinstance(call, dict) and call.get("type") == "tool_call" and call.get("id")
        else nullcontext()
    )


# --- registered -----------------------------------------------------------------------------------------------------------------


def _registered(name: str) -> StructuredTool:
    """Errors: `UnknownTool`."""
    description = require_ports().tools.describe(name)

    async def call(**arguments: Any) -> Json:
        return await _call(require_ports(), name, arguments)

    def call_blocking(**arguments: Any) -> Json:
        ports = require_ports()
        return cast(Json, ports.run_blocking(_call(ports, name, arguments)))

    return JournaledTool(
        name=name,
        description=description.description,
        args_schema=dict(description.parameters),
        func=call_blocking,
        coroutine=call,
    )


def _call(
    ports: RunPorts, name: str, arguments: Mapping[str, Any], authored: AuthoredTool | None = None
) -> Awaitable[Json]:
    """Issues the call at once, so that its index does not depend on when it is awaited."""
    place = find_place()
    agent = place.node if place else ""
    require_granted(ports.agents, agent, name)
    request = ToolRequest(agent, name, _json_object(arguments))
    call = ports.tools.call(request, next_call_id(ports, request.request_hash()), authored=authored)
    return _asking(call) if is_in_graph_of(ports) else call


async def _asking(call: Awaitable[Json]) -> Json:
    """A call in doubt becomes a question to a person; the node runs again with the answer, and the journal knows it by the question's id.

    Not by LangGraph's `interrupt`: that counts the questions of a node, and would give the answer to another one as soon as calls run side by
    side, or a call that was asked about is answered from the journal.
    """
    try:
        return await call
    except ToolInDoubt as error:
        if error.doubt is None:
            raise
        asked = Interrupt(dict(question_about(error.doubt)), error.doubt.id, response_schema=dict(ANSWER_SCHEMA))
        raise GraphInterrupt((asked,)) from error


# --- an author's own ------------------------------------------------------------------------------------------------------------


def _authored(function: Function | BaseTool, *, effect: Effect, idempotent: bool, name: str | None) -> StructuredTool:
    plain = _plain_tool(function, name)
    schema = convert_to_openai_tool(plain)["function"]
    description = ToolDescription(
        plain.name, plain.description, schema["parameters"], effect=effect, idempotent=idempotent
    )
    own = _OwnFunction(plain, description)
    return JournaledTool(
        **{**_fields(plain), "func": own.blocking(), "coroutine": own.awaitable(), "facts": description}
    )


def _plain_tool(function: Function | BaseTool, name: str | None) -> StructuredTool:
    """Errors: `TypeError` for a LangChain tool that is a class of its own: there is no function to run through the journal."""
    if isinstance(function, StructuredTool):
        return function.model_copy(update={"name": name}) if name else function
    if isinstance(function, BaseTool):
        raise TypeError(f"{type(function).__name__} is not made of a function; put its work into one and decorate that")
    if inspect.iscoroutinefunction(function):
        return StructuredTool.from_function(coroutine=function, name=name)
    return StructuredTool.from_function(function, name=name)


def _fields(plain: StructuredTool) -> dict[str, Any]:
    return {name: getattr(plain, name) for name in StructuredTool.model_fields}


class _OwnFunction:
    """The function of an author's tool, called through the run."""

    def __init__(self, plain: StructuredTool, description: ToolDescription) -> None:
        self._plain = plain
        self._original = cast(Function, plain.coroutine or plain.func)
        self._description = description
        self._sent_by_model = frozenset(description.parameters.get("properties", {}))
        """The rest (state, store, runtime) is put in by the graph library; it is neither JSON nor part of the call."""

    def awaitable(self) -> Callable[..., Coroutine[Any, Any, Any]]:
        @functools.wraps(self._original)
        async def call(**arguments: Any) -> Any:
            return await self._start(require_ports(), arguments)

        return call

    def blocking(self) -> Callable[..., Any]:
        @functools.wraps(self._original)
        def call(**arguments: Any) -> Any:
            ports = require_ports()
            return ports.run_blocking(self._start(ports, arguments))

        return call

    def _start(self, ports: RunPorts, arguments: Mapping[str, Any]) -> Coroutine[Any, Any, Any]:
        """Issues the call at once, so that its index does not depend on when it is awaited."""
        sent = {name: value for name, value in arguments.items() if name in self._sent_by_model}
        call = start_authored(ports, self._description, sent, lambda: self._run(arguments), adopt=self._adopt)
        return self._finish(call)

    async def _finish(self, call: Awaitable[Json]) -> Any:
        result = await call
        is_pair = self._makes_pairs and isinstance(result, list)
        return tuple(cast("list[Json]", result)) if is_pair else result

    def _adopt(self, result: Json) -> Json:
        """A person may leave the artifact out."""
        is_pair = isinstance(result, list) and len(result) == 2
        return [result, None] if self._makes_pairs and not is_pair else result

    @property
    def _makes_pairs(self) -> bool:
        """Content for the model and an artifact."""
        return self._plain.response_format == "content_and_artifact"

    async def _run(self, arguments: Mapping[str, Any]) -> Json:
        if self._plain.coroutine is not None:
            return _json_result(await self._plain.coroutine(**arguments))
        return _json_result(await in_own_thread(functools.partial(self._original, **arguments)))


def start_authored(
    ports: RunPorts,
    description: ToolDescription,
    arguments: Mapping[str, Any],
    work: Callable[[], Awaitable[Json]],
    *,
    adopt: Callable[[Json], Json],
    passes: tuple[type[Exception], ...] = (GraphBubbleUp,),
) -> Coroutine[Any, Any, Json]:
    """Issues a call whose work stands in an author's code. Its own exception reaches the author, as without us."""
    raised: list[Exception] = []

    async def run(_arguments: JsonObject) -> Json:
        try:
            return await work()
        except Exception as error:
            raised.append(error)
            raise

    call = _call(ports, description.name, arguments, AuthoredTool(description, run, passes=passes, adopt=adopt))
    return _reraising(call, raised)


async def _reraising(call: Awaitable[Json], raised: list[Exception]) -> Json:
    try:
        return await call
    except ShadowgraphError:
        if raised:
            raise raised[0] from None
        raise


async def in_own_thread(function: Callable[[], Any]) -> Any:
    """Not in the loop's executor: sync nodes wait there for their tools, and would wait for ever once they fill it."""
    executor = ThreadPoolExecutor(1, thread_name_prefix="shadowgraph-tool")
    try:
        return await asyncio.get_running_loop().run_in_executor(executor, copy_context().run, function)
    finally:
        executor.shutdown(wait=False)


def _json_object(arguments: Mapping[str, Any]) -> JsonObject:
    return sanitise(cast(JsonObject, _jsonable(dict(arguments))))


def _json_result(value: Any) -> Json:
    if any(isinstance(item, BaseMessage | Command) for item in (value if isinstance(value, list | tuple) else [value])):
        raise NotJson(
            f"a journaled tool returns JSON, not {type(value).__name__}",
            hint="leave a tool that steers the graph undecorated",
        )
    return cast(Json, _jsonable(value))


def _jsonable(value: Any) -> Any:
    """Pydantic models, dataclasses, dates, sets and the like as JSON.

    Errors: `NotJson`.
    """
    try:
        return to_jsonable_python(value)
    except PydanticSerializationError as error:
        raise NotJson(str(error)) from error
