"""A LangChain chat model whose every call goes through the run: journaled, metered, limited."""

from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import aclosing, nullcontext
from dataclasses import dataclass
from typing import Any, Literal

from langchain_core.callbacks import AsyncCallbackManagerForLLMRun, CallbackManagerForLLMRun
from langchain_core.language_models import BaseChatModel, LanguageModelInput
from langchain_core.language_models.base import LangSmithParams
from langchain_core.messages import AIMessage, BaseMessage
from langchain_core.outputs import ChatGeneration, ChatGenerationChunk, ChatResult
from langchain_core.runnables import Runnable
from langchain_core.tools import BaseTool
from langchain_core.utils.function_calling import convert_to_openai_tool
from langchain_core.utils.utils import LC_ID_PREFIX
from pydantic import ConfigDict

from shadowgraph.authoring.answers import Ended, iterate_answer, stream_answer
from shadowgraph.authoring.grants import is_granted
from shadowgraph.authoring.messages import last_chunk, text_chunk, to_message, to_request_messages
from shadowgraph.authoring.place import find_place, lane, next_call_id
from shadowgraph.authoring.ports import require_ports
from shadowgraph.authoring.structured import StructuredAnswer
from shadowgraph.authoring.tool import JournaledTool
from shadowgraph.core.agent_settings import AgentSettings
from shadowgraph.core.calls import CHAT_MODEL_TYPE, AnswerCheck, CallId, Completion, DeltaSink, LlmRequest, RunPorts
from shadowgraph.core.errors import Invalid
from shadowgraph.core.json import Json
from shadowgraph.core.text import sanitise

DEFAULT_AGENT = "chat_model"
"""Who asks when nobody said so: outside a graph there is no node to be named after."""
DEFAULT_ROUTE = "default"
NOTHING_SAID = AgentSettings()
JOURNALED_TOOLS = "journaled_tools"
"""Option of a bound model: which of its tools are ours, so that calling them can be refused."""
PARAMETERS = frozenset({"temperature", "max_tokens", "top_p", "stop", "seed"})


class UnknownParameter(Invalid):
    """A parameter that would be ignored silently is refused: it could have changed the answer."""

    code = "unknown_parameter"


def chat_model(
    agent: str | None = None,
    *,
    model: str | None = None,
    temperature: float | None = None,
    max_tokens: int | None = None,
    top_p: float | None = None,
    stop: list[str] | None = None,
    seed: int | None = None,
    key: str | None = None,
) -> "ShadowgraphChatModel":
    """The model for an agent, with the name of the calling node unless `agent` says otherwise.

    `model` is an explicit `provider:model`, or the name of a route; without it the route "default" answers. What `[agents.NAME]` in the
    project's `shadowgraph.toml` says takes the place of what stands here; what is bound or given for one call comes before both. Model calls that run side by side in one
    node each need a `key` of their own (here, or by `.bind(call_key="a")`): it takes the place of their order, which is not the same
    twice, so that after a crash each finds its own answer again.
    """
    return ShadowgraphChatModel(
        agent=agent,
        model=model,
        temperature=temperature,
        max_tokens=max_tokens,
        top_p=top_p,
        stop=stop,
        seed=seed,
        call_key=key,
    )


@dataclass(frozen=True, slots=True)
class _Asked:
    """One call, ready to be made."""

    ports: RunPorts
    request: LlmRequest
    call_id: CallId
    check: AnswerCheck | None

    async def answer(self, sink: DeltaSink | None = None) -> Completion:
        return await self.ports.models.call(self.request, self.call_id, sink, check=self.check)


class ShadowgraphChatModel(BaseChatModel):
    """Built by `chat_model`. Every parameter may also be bound or given for one call."""

    model_config = ConfigDict(protected_namespaces=())

    agent: str | None = None
    model: str | None = None
    temperature: float | None = None
    max_tokens: int | None = None
    top_p: float | None = None
    stop: list[str] | None = None
    seed: int | None = None
    call_key: str | None = None

    @property
    def _llm_type(self) -> str:
        return CHAT_MODEL_TYPE

    @property
    def _identifying_params(self) -> Mapping[str, Any]:
        return {"agent": self.agent, "model": self.model, **self._own_parameters()}

    def _get_ls_params(self, stop: list[str] | None = None, **kwargs: Any) -> LangSmithParams:
        named = LangSmithParams(ls_provider="shadowgraph", ls_model_name=kwargs.get("model") or self.model or "default")
        return LangSmithParams(**{**super()._get_ls_params(stop=stop, **kwargs), **named})

    def _own_parameters(self) -> dict[str, Any]:
        return {name: value for name in sorted(PARAMETERS) if (value := getattr(self, name)) is not None}

    def _should_stream(
        self,
        *,
        async_api: bool,
        run_manager: CallbackManagerForLLMRun | AsyncCallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> bool:
        """Only for `stream()` itself. `invoke()` hands tokens to the listeners on its own and returns the recorded answer, never one
        put together from the pieces of a stream that may have broken and begun again.
        """
        return bool(kwargs.get("stream")) and super()._should_stream(
            async_api=async_api, run_manager=run_manager, **kwargs
        )

    def _has_listeners(self, run_manager: CallbackManagerForLLMRun | AsyncCallbackManagerForLLMRun | None) -> bool:
        return super()._should_stream(async_api=True, run_manager=run_manager)

    # --- one call ---------------------------------------------------------------------------------------------------------------

    def _ask(self, messages: list[BaseMessage], stop: list[str] | None, kwargs: Mapping[str, Any]) -> _Asked:
        """Issues the call: from here on its key is fixed."""
        ports = require_ports()
        options = dict(kwargs)
        options.pop("stream", None)
        check = options.pop("answer_check", None)
        key = options.pop("call_key", self.call_key)
        request = self._build_request(messages, {**options, **({"stop": stop} if stop else {})}, ports.agents)
        with lane(key) if key else nullcontext():
            return _Asked(ports, request, next_call_id(ports, request.request_hash()), check)

    def _build_request(
        self, messages: list[BaseMessage], options: dict[str, Any], agents: Mapping[str, AgentSettings]
    ) -> LlmRequest:
        place = find_place()
        agent = self.agent or (place.node if place else DEFAULT_AGENT)
        settings = agents.get(agent, NOTHING_SAID)
        tools, choice, schema = (options.pop(name, None) for name in ("tools", "tool_choice", "output_schema"))
        journaled = options.pop(JOURNALED_TOOLS, ())
        model = options.pop("model", settings.model or self.model)
        is_explicit = ":" in (model or "")
        if unknown := sorted(options.keys() - PARAMETERS):
            raise UnknownParameter(f"chat_model does not know {', '.join(unknown)}", parameters=unknown)
        return LlmRequest(
            agent=agent,
            messages=to_request_messages(messages),
            route=DEFAULT_ROUTE if is_explicit else model or DEFAULT_ROUTE,
            model=model if is_explicit else None,
            parameters=sanitise({**self._own_parameters(), **_parameters_of(settings), **options}),
            tools=sanitise(_granted(tools or [], journaled, agents, agent)),
            tool_choice=sanitise(choice),
            output_schema=sanitise(schema),
        )

    def _generate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> ChatResult:
        asked = self._ask(messages, stop, kwargs)
        message_id = _message_id(run_manager)
        if run_manager is None or not self._has_listeners(run_manager):
            return _result(asked.ports.run_blocking(asked.answer()), message_id)
        for item in iterate_answer(asked.ports.run_blocking, asked.answer):
            if isinstance(item, Ended):
                return _result(item.completion, message_id)
            run_manager.on_llm_new_token(item, chunk=_text_chunk(item, message_id))
        raise AssertionError("a call ends with its answer or an error")

    async def _agenerate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: AsyncCallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> ChatResult:
        asked = self._ask(messages, stop, kwargs)
        message_id = _message_id(run_manager)
        if run_manager is None or not self._has_listeners(run_manager):
            return _result(await asked.answer(), message_id)
        async with aclosing(stream_answer(asked.answer)) as items:
            async for item in items:
                if isinstance(item, Ended):
                    return _result(item.completion, message_id)
                await run_manager.on_llm_new_token(item, chunk=_text_chunk(item, message_id))
        raise AssertionError("a call ends with its answer or an error")

    def _stream(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> Iterator[ChatGenerationChunk]:
        asked = self._ask(messages, stop, kwargs)
        for item in iterate_answer(asked.ports.run_blocking, asked.answer):
            yield _last_chunk(item) if isinstance(item, Ended) else _text_chunk(item)

    async def _astream(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: AsyncCallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> AsyncIterator[ChatGenerationChunk]:
        asked = self._ask(messages, stop, kwargs)
        async with aclosing(stream_answer(asked.answer)) as items:
            async for item in items:
                yield _last_chunk(item) if isinstance(item, Ended) else _text_chunk(item)

    # --- tools and structured answers -------------------------------------------------------------------------------------------

    def bind_tools(
        self,
        tools: Sequence[dict[str, Any] | type | Callable[..., Any] | BaseTool],
        *,
        tool_choice: dict[str, Any] | str | bool | None = None,
        strict: bool | None = None,
        **kwargs: Any,
    ) -> Runnable[LanguageModelInput, AIMessage]:
        """`tool_choice`: "auto", "none", "any" or "required", True (the only tool), or a tool's name.

        The model is not told of journaled tools that `shadowgraph.toml` does not grant to its agent.
        """
        formatted = [convert_to_openai_tool(tool, strict=strict) for tool in tools]
        if choice := _tool_choice(tool_choice, [tool["function"]["name"] for tool in formatted]):
            kwargs["tool_choice"] = choice
        if journaled := [tool.name for tool in tools if isinstance(tool, JournaledTool)]:
            kwargs[JOURNALED_TOOLS] = journaled
        return self.bind(tools=formatted, **kwargs)

    def with_structured_output(
        self,
        schema: dict[str, Any] | type,
        *,
        include_raw: bool = False,
        method: Literal["function_calling", "json_schema", "json_mode"] = "function_calling",
        strict: bool | None = None,
        **kwargs: Any,
    ) -> Runnable[LanguageModelInput, Any]:
        """An answer that does not fit is never recorded: the model is asked once more with the reason, then the call fails.

        With `include_raw` the author looks at what came, so every answer is taken. `method` is understood and makes no difference: the
        model is always made to call a tool, which every provider can do.
        """
        answer = StructuredAnswer(schema)
        model = self.bind_tools(
            [schema],
            tool_choice=answer.name,
            strict=strict,
            output_schema=answer.json_schema,
            answer_check=None if include_raw else answer.refuse,
            ls_structured_output_format={"kwargs": {"method": method}, "schema": schema},
            **kwargs,
        )
        return answer.parse_from(model, include_raw=include_raw)


def _parameters_of(settings: AgentSettings) -> dict[str, Json]:
    named: dict[str, Json] = {"temperature": settings.temperature, "max_tokens": settings.max_tokens}
    return {name: value for name, value in named.items() if value is not None}


def _granted(
    tools: Sequence[dict[str, Any]], journaled: Sequence[str], agents: Mapping[str, AgentSettings], agent: str
) -> list[dict[str, Any]]:
    refused = {name for name in journaled if not is_granted(agents, agent, name)}
    return [tool for tool in tools if tool["function"]["name"] not in refused]


def _tool_choice(choice: dict[str, Any] | str | bool | None, names: Sequence[str]) -> Json:
    """In OpenAI's words.

    Errors: `UnknownParameter` for a name that is no tool's.
    """
    if choice is None or choice is False or isinstance(choice, dict):
        return choice or None
    if choice in ("auto", "none", "required"):
        return choice
    if choice == "any":
        return "required"
    name = names[0] if choice is True and len(names) == 1 else choice
    if name not in names:
        raise UnknownParameter(
            f"tool_choice {choice!r} names none of the tools {', '.join(names)}", parameters=["tool_choice"]
        )
    return {"type": "function", "function": {"name": name}}


def _message_id(run_manager: CallbackManagerForLLMRun | AsyncCallbackManagerForLLMRun | None) -> str | None:
    """One id for the pieces and the whole, so that a listener can tell that they are the same message."""
    return f"{LC_ID_PREFIX}-{run_manager.run_id}" if run_manager else None


def _result(completion: Completion, message_id: str | None) -> ChatResult:
    message = to_message(completion, message_id=message_id)
    return ChatResult(generations=[ChatGeneration(message=message)])


def _text_chunk(text: str, message_id: str | None = None) -> ChatGenerationChunk:
    return ChatGenerationChunk(message=text_chunk(text, message_id=message_id))


def _last_chunk(ended: Ended) -> ChatGenerationChunk:
    return ChatGenerationChunk(message=last_chunk(ended.completion, rest=ended.rest))
