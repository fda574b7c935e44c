"""The offline model as a LangChain chat model, in process. What goes wrong on demand is raised as the HTTP library would raise it, so
that whoever classifies providers' errors classifies these."""

import json
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from typing import Any

import httpx
from langchain_core.callbacks import AsyncCallbackManagerForLLMRun, CallbackManagerForLLMRun
from langchain_core.language_models import BaseChatModel, LanguageModelInput
from langchain_core.language_models.base import LangSmithParams
from langchain_core.messages import AIMessage, AIMessageChunk, BaseMessage, convert_to_openai_messages
from langchain_core.messages.ai import UsageMetadata
from langchain_core.messages.tool import ToolCall as LangChainToolCall
from langchain_core.messages.tool import tool_call_chunk
from langchain_core.outputs import ChatGeneration, ChatGenerationChunk, ChatResult
from langchain_core.runnables import Runnable
from langchain_core.tools import BaseTool
from langchain_core.utils.function_calling import convert_to_openai_tool
from pydantic import ConfigDict, Field, PrivateAttr

from shadowgraph.llm.offline.calls import CallCounter, find_call_header
from shadowgraph.llm.offline.failures import error_body, error_headers
from shadowgraph.llm.offline.knobs import Failure, Knobs
from shadowgraph.llm.offline.service import (
    MODEL_NAME,
    End,
    InjectedCut,
    InjectedFailure,
    OfflineRequest,
    Piece,
    Sending,
    TextPiece,
    ToolPiece,
    iterate_reply,
    send,
    stream_reply,
)

_ADDRESS = "offline://chat/completions"


class OfflineChatModel(BaseChatModel):
    """Rules in place of a language model: no key, no network, cost 0. Takes the usual parameters and ignores those that steer sampling.

    `extra_headers={"X-Shadowgraph-Call": …}` on a call tells it which call of which run it serves (`calls.py`).
    """

    model_config = ConfigDict(arbitrary_types_allowed=True, protected_namespaces=())

    model: str = MODEL_NAME
    temperature: float | None = None
    max_tokens: int | None = None
    stop: list[str] | None = None
    timeout: float | None = None
    max_retries: int = 0
    streaming: bool = False
    knobs: Knobs = Field(default_factory=Knobs, exclude=True)
    _counter: CallCounter = PrivateAttr(default_factory=CallCounter)

    @property
    def _llm_type(self) -> str:
        return "shadowgraph-offline"

    @property
    def _identifying_params(self) -> Mapping[str, Any]:
        return {"model": self.model, "temperature": self.temperature, "max_tokens": self.max_tokens}

    def _get_ls_params(self, stop: list[str] | None = None, **kwargs: Any) -> LangSmithParams:
        named = LangSmithParams(ls_provider="offline", ls_model_name=kwargs.get("model") or self.model)
        return LangSmithParams(**{**super()._get_ls_params(stop=stop, **kwargs), **named})

    def bind_tools(
        self,
        tools: Sequence[dict[str, Any] | type | Callable[..., Any] | BaseTool],
        *,
        tool_choice: dict[str, Any] | str | bool | None = None,
        strict: bool | None = None,
        **kwargs: Any,
    ) -> Runnable[LanguageModelInput, AIMessage]:
        """`tool_choice`: "auto", "none", "any" or "required", True (the only tool), a tool's name, or OpenAI's object."""
        formatted = [convert_to_openai_tool(tool, strict=strict) for tool in tools]
        chosen = {"tool_choice": tool_choice} if tool_choice else {}
        return self.bind(tools=formatted, **chosen, **kwargs)

    def _generate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> ChatResult:
        try:
            return self._result(list(iterate_reply(self._prepare(messages, stop, kwargs))), kwargs)
        except (InjectedFailure, InjectedCut) as error:
            raise _as_http_error(error) from error

    async def _agenerate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: AsyncCallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> ChatResult:
        try:
            return self._result([piece async for piece in stream_reply(self._prepare(messages, stop, kwargs))], kwargs)
        except (InjectedFailure, InjectedCut) as error:
            raise _as_http_error(error) from error

    def _stream(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> Iterator[ChatGenerationChunk]:
        model = self._name(kwargs)
        try:
            for piece in iterate_reply(self._prepare(messages, stop, kwargs)):
                chunk = _to_chunk(piece, model=model)
                if run_manager:
                    run_manager.on_llm_new_token(str(chunk.text), chunk=chunk)
                yield chunk
        except (InjectedFailure, InjectedCut) as error:
            raise _as_http_error(error) from error

    async def _astream(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: AsyncCallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> AsyncIterator[ChatGenerationChunk]:
        model = self._name(kwargs)
        try:
            async for piece in stream_reply(self._prepare(messages, stop, kwargs)):
                chunk = _to_chunk(piece, model=model)
                if run_manager:
                    await run_manager.on_llm_new_token(str(chunk.text), chunk=chunk)
                yield chunk
        except (InjectedFailure, InjectedCut) as error:
            raise _as_http_error(error) from error

    def _name(self, options: Mapping[str, Any]) -> str:
        return str(options.get("model") or self.model)

    def _result(self, pieces: Sequence[Piece], options: Mapping[str, Any]) -> ChatResult:
        return ChatResult(generations=[ChatGeneration(message=_to_message(pieces, model=self._name(options)))])

    def _prepare(self, messages: list[BaseMessage], stop: list[str] | None, options: Mapping[str, Any]) -> Sending:
        place = self._counter.place_of(find_call_header(options.get("extra_headers")))
        request = OfflineRequest(
            messages=_plain(messages),
            tools=options.get("tools") or (),
            tool_choice=options.get("tool_choice"),
            response_format=options.get("response_format"),
            stop=_as_list(stop or options.get("stop") or self.stop),
            max_tokens=options.get("max_tokens", self.max_tokens),
            is_parallel=options.get("parallel_tool_calls") is not False,
        )
        return send(request, knobs=self.knobs, place=place)


def _plain(messages: list[BaseMessage]) -> list[dict[str, Any]]:
    converted = convert_to_openai_messages(messages)
    return converted if isinstance(converted, list) else [converted]


def _as_list(stop: Any) -> list[str]:
    return [stop] if isinstance(stop, str) else list(stop or ())


def _to_chunk(piece: Piece, *, model: str) -> ChatGenerationChunk:
    if isinstance(piece, TextPiece):
        return ChatGenerationChunk(message=AIMessageChunk(content=piece.text))
    if isinstance(piece, ToolPiece):
        part = tool_call_chunk(name=piece.name, args=piece.arguments, id=piece.id, index=piece.index)
        return ChatGenerationChunk(message=AIMessageChunk(content="", tool_call_chunks=[part]))
    return ChatGenerationChunk(message=_last_chunk(piece, model=model))


def _to_message(pieces: Sequence[Piece], *, model: str) -> AIMessage:
    """The whole answer at once: adding up chunks would cost more than making it."""
    parts = [piece for piece in pieces if isinstance(piece, ToolPiece)]
    arguments: dict[int, str] = {}
    for part in parts:
        arguments[part.index] = arguments.get(part.index, "") + part.arguments
    end = next(piece for piece in pieces if isinstance(piece, End))
    return AIMessage(
        content="".join(piece.text for piece in pieces if isinstance(piece, TextPiece)),
        tool_calls=[
            LangChainToolCall(name=part.name or "", args=json.loads(arguments[part.index]), id=part.id)
            for part in parts
            if part.id
        ],
        usage_metadata=_usage(end),
        response_metadata=_facts(end, model=model),
    )


def _last_chunk(end: End, *, model: str) -> AIMessageChunk:
    return AIMessageChunk(
        content="", usage_metadata=_usage(end), response_metadata=_facts(end, model=model), chunk_position="last"
    )


def _facts(end: End, *, model: str) -> dict[str, Any]:
    """What the answer claims to be is said: a rule-based model, estimated tokens, a made-up price if any."""
    return {
        "model_name": model,
        "model_provider": "offline",
        "synthetic": True,
        "usage_estimated": True,
        "finish_reason": end.finish_reason,
        **({} if end.price_usd is None else {"price_usd": str(end.price_usd)}),
    }


def _usage(end: End) -> UsageMetadata:
    return UsageMetadata(
        input_tokens=end.tokens.prompt,
        output_tokens=end.tokens.completion,
        total_tokens=end.tokens.prompt + end.tokens.completion,
    )


def _as_http_error(error: InjectedFailure | InjectedCut) -> httpx.HTTPError:
    request = httpx.Request("POST", _ADDRESS)
    if isinstance(error, InjectedCut):
        return httpx.RemoteProtocolError(str(error), request=request)
    response = _error_response(error.failure, str(error), request)
    return httpx.HTTPStatusError(str(error), request=request, response=response)


def _error_response(failure: Failure, message: str, request: httpx.Request) -> httpx.Response:
    body = json.dumps(error_body(failure.status, message)).encode()
    return httpx.Response(failure.status, headers=error_headers(failure.retry_after), content=body, request=request)
