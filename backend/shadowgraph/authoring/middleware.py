"""For LangChain's `create_agent`: journals what a foreign agent asks its own model and what its tools answer."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, is_dataclass
from functools import partial
from typing import Any, cast, get_args

import orjson
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import BaseMessage, ToolMessage, message_to_dict, messages_from_dict
from langchain_core.tools import BaseTool
from langchain_core.utils.function_calling import convert_to_openai_tool
from langgraph.errors import GraphBubbleUp
from langgraph.types import Command
from pydantic import BaseModel, TypeAdapter
from pydantic_core import to_jsonable_python

from shadowgraph.authoring.chat_model import ShadowgraphChatModel
from shadowgraph.authoring.place import find_place, next_call_id
from shadowgraph.authoring.ports import require_ports
from shadowgraph.authoring.tool import JournaledTool, in_own_thread, lane_of, start_authored
from shadowgraph.core.calls import CallId, ForeignCall, LlmRequest, RunPorts, ToolDescription, current_foreign_call
from shadowgraph.core.json import Json, JsonObject

try:
    from langchain.agents.middleware import AgentMiddleware, ModelRequest, ModelResponse, ToolCallRequest
except ModuleNotFoundError as error:
    raise ModuleNotFoundError(
        "shadowgraph.middleware is for LangChain's create_agent, which is not installed: pip install 'langchain>=1'",
        name="langchain",
    ) from error

ToolAnswer = ToolMessage | Command[Any]
_SCALARS = str | int | float | bool


def middleware() -> "JournalMiddleware":
    """`create_agent(..., middleware=[..., shadowgraph.middleware()])`: a call of the model or of a tool that finished is never made
    again, not even after a crash.

    The model stays the author's own: its tokens are metered, and no limit stops it. Last in the list it journals each request that reaches
    the model; what stands behind it is skipped when a call is replayed. Tools count as writes, so before one whose end nobody saw the run
    waits for a person; `@shadowgraph.tool(effect="read")` says that it may simply be repeated. A tool that returns a
    `Command` or an artifact that is not JSON is called again.
    """
    return JournalMiddleware()


class JournalMiddleware(AgentMiddleware[Any, Any, Any]):
    """Built by `middleware`."""

    def wrap_model_call(
        self, request: ModelRequest[Any], handler: Callable[[ModelRequest[Any]], ModelResponse[Any]]
    ) -> ModelResponse[Any]:
        if isinstance(request.model, ShadowgraphChatModel):
            return handler(request)  # it keeps its own journal
        asked = _Asked.issue(request)
        wait = asked.ports.run_blocking
        if answer := wait(asked.find()):
            return _response(answer, request)
        foreign = wait(asked.start())
        try:
            response = _within(foreign, partial(handler, request))
        except Exception:
            wait(asked.reject())
            raise
        wait(asked.finish(_answer(response)))
        return response

    async def awrap_model_call(
        self, request: ModelRequest[Any], handler: Callable[[ModelRequest[Any]], Awaitable[ModelResponse[Any]]]
    ) -> ModelResponse[Any]:
        if isinstance(request.model, ShadowgraphChatModel):
            return await handler(request)
        asked = _Asked.issue(request)
        if answer := await asked.find():
            return _response(answer, request)
        token = current_foreign_call.set(await asked.start())
        try:
            response = await handler(request)
        except Exception:
            await asked.reject()
            raise
        finally:
            current_foreign_call.reset(token)
        await asked.finish(_answer(response))
        return response

    def wrap_tool_call(self, request: ToolCallRequest, handler: Callable[[ToolCallRequest], ToolAnswer]) -> ToolAnswer:
        if isinstance(request.tool, JournaledTool):
            return handler(request)
        ports = require_ports()
        call = _ToolWork(request, lambda: in_own_thread(partial(handler, request))).start(ports)
        return cast(ToolAnswer, ports.run_blocking(call))

    async def awrap_tool_call(
        self, request: ToolCallRequest, handler: Callable[[ToolCallRequest], Awaitable[ToolAnswer]]
    ) -> ToolAnswer:
        if isinstance(request.tool, JournaledTool):
            return await handler(request)
        return await _ToolWork(request, lambda: handler(request)).start(require_ports())


# --- models ---------------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Asked:
    """One call of an author's model, ready to be made."""

    ports: RunPorts
    call: CallId
    agent: str

    @staticmethod
    def issue(request: ModelRequest[Any]) -> "_Asked":
        """From here on its key is fixed."""
        ports, place = require_ports(), find_place()
        agent = place.node if place else "model"
        return _Asked(ports, next_call_id(ports, _describe(request, agent).request_hash()), agent)

    def find(self) -> Awaitable[bytes | None]:
        return self.ports.answers.find(self.call)

    def start(self) -> Awaitable[ForeignCall]:
        return self.ports.answers.start(self.call, agent=self.agent)

    def finish(self, answer: bytes) -> Awaitable[None]:
        return self.ports.answers.finish(self.call, answer=answer)

    def reject(self) -> Awaitable[None]:
        return self.ports.answers.reject(self.call)


def _within(foreign: ForeignCall, work: Callable[[], ModelResponse[Any]]) -> ModelResponse[Any]:
    token = current_foreign_call.set(foreign)
    try:
        return work()
    finally:
        current_foreign_call.reset(token)


def _describe(request: ModelRequest[Any], agent: str) -> LlmRequest:
    """What the answer depends on. Not the ids of messages, which are new each time."""
    messages = [*([request.system_message] if request.system_message else []), *request.messages]
    return LlmRequest(
        agent=agent,
        messages=[_plain(message) for message in messages],
        model=request.model._llm_type,
        parameters={**_scalars(request.model), **cast(JsonObject, _jsonable(request.model_settings))},
        tools=[cast(JsonObject, _jsonable(_tool_shape(tool))) for tool in request.tools],
        tool_choice=cast(Json, _jsonable(request.tool_choice)),
        output_schema={"names": sorted(_schemas(request))},
    )


def _plain(message: BaseMessage) -> JsonObject:
    fields = ("type", "content", "name", "tool_calls", "tool_call_id")
    return cast(JsonObject, _jsonable({name: getattr(message, name, None) for name in fields}))


def _scalars(model: BaseChatModel) -> JsonObject:
    """Name, temperature and the like. Clients and other objects would be different ones in every process."""
    return {name: value for name, value in model._identifying_params.items() if isinstance(value, _SCALARS)}


def _tool_shape(tool: BaseTool | dict[str, Any]) -> dict[str, Any]:
    return tool if isinstance(tool, dict) else convert_to_openai_tool(tool)


def _jsonable(value: Any) -> Any:
    return to_jsonable_python(value, fallback=lambda other: type(other).__name__)


# --- answers --------------------------------------------------------------------------------------------------------------------


def _answer(response: ModelResponse[Any]) -> bytes:
    found = response.structured_response
    structured = None if found is None else {"type": type(found).__name__, "value": _jsonable(found)}
    return orjson.dumps(
        {"messages": [_jsonable(message_to_dict(message)) for message in response.result], "structured": structured}
    )


def _response(answer: bytes, request: ModelRequest[Any]) -> ModelResponse[Any]:
    stored = orjson.loads(answer)
    structured = stored["structured"]
    return ModelResponse(
        result=messages_from_dict(stored["messages"]),
        structured_response=None if structured is None else _rebuild(structured, _schemas(request)),
    )


def _rebuild(structured: Mapping[str, Any], schemas: Mapping[str, Any]) -> Any:
    """An object of the class that the author asked for; what was a dict stays one."""
    schema = schemas.get(structured["type"])
    return structured["value"] if schema is None else TypeAdapter(schema).validate_python(structured["value"])


def _schemas(request: ModelRequest[Any]) -> dict[str, Any]:
    """By the name of its class."""
    wanted = getattr(request.response_format, "schema", None)
    variants: Sequence[Any] = get_args(wanted) or (wanted,)
    return {one.__name__: one for one in variants if isinstance(one, type) and _has_objects(one)}


def _has_objects(kind: type) -> bool:
    return issubclass(kind, BaseModel) or is_dataclass(kind)


# --- tools ----------------------------------------------------------------------------------------------------------------------


class _NotRecordable(Exception):
    """The tool's result would not be the same after a replay: it steers the graph, or carries an object. It goes on as it is."""

    def __init__(self, result: ToolAnswer) -> None:
        super().__init__(type(result).__name__)
        self.result = result


@dataclass(frozen=True, slots=True)
class _ToolWork:
    """One call of a tool that is not ours."""

    request: ToolCallRequest
    work: Callable[[], Awaitable[ToolAnswer]]

    def start(self, ports: RunPorts) -> Awaitable[ToolAnswer]:
        call = self.request.tool_call
        with lane_of(call):
            started = start_authored(
                ports,
                self._describe(),
                call["args"],
                self._run,
                adopt=self._adopt,
                passes=(GraphBubbleUp, _NotRecordable),
            )
        return self._finish(started)

    def _describe(self) -> ToolDescription:
        """The graph library checks the arguments itself, and is more lenient: the schema is only told, below a key that checks nothing."""
        tool = self.request.tool
        shape = convert_to_openai_tool(tool)["function"]["parameters"] if tool else {}
        return ToolDescription(
            self.request.tool_call["name"], tool.description if tool else "", {"$defs": {"arguments": shape}}
        )

    async def _run(self) -> Json:
        answer = await self.work()
        if not isinstance(answer, ToolMessage) or _jsonable(answer.artifact) != answer.artifact:
            raise _NotRecordable(answer)
        return _recorded(answer)

    def _adopt(self, result: Json) -> Json:
        """A person gives what the tool would have told the model."""
        text = result if isinstance(result, str) else orjson.dumps(result).decode()
        call = self.request.tool_call
        return _recorded(ToolMessage(text, name=call["name"], tool_call_id=call["id"]))

    async def _finish(self, call: Awaitable[Json]) -> ToolAnswer:
        try:
            stored = await call
        except _NotRecordable as passed:
            return passed.result
        (message,) = messages_from_dict([cast("dict[str, Any]", stored)])
        return cast(ToolMessage, message)


def _recorded(message: ToolMessage) -> Json:
    return cast(Json, _jsonable(message_to_dict(message)))
