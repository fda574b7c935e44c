"""The offline demo model: rules, no language model, no network, no state. The same messages give the same reply."""

import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from shadowgraph.core.json import Json, JsonObject
from shadowgraph.llm.offline.answers import compose_answer
from shadowgraph.llm.offline.choice import Tool, choose_tools, read_tools
from shadowgraph.llm.offline.messages import Message, read_conversation
from shadowgraph.llm.offline.noise import Noise
from shadowgraph.llm.offline.schema import fill_schema
from shadowgraph.llm.offline.task import Task, read_task

_KEYS_ASKED_FOR = re.compile(r"(?:[\"'`]\w{1,40}[\"'`][^\"'`\n]{0,12}){1,12}\s*(?:keys?|fields?|properties)|(?:keys?|fields?|properties)\W{1,4}(?:[\"'`]\w{1,40}[\"'`][^\"'`\n]{0,12}){1,12}", re.IGNORECASE)  # fmt: skip


@dataclass(frozen=True, slots=True)
class ToolCall:
    id: str
    name: str
    arguments: JsonObject


@dataclass(frozen=True, slots=True)
class Reply:
    text: str
    tool_calls: tuple[ToolCall, ...] = ()


def reply(
    messages: Sequence[Message],
    *,
    tools: Sequence[Mapping[str, Any]] | None = None,
    tool_choice: Any = None,
    response_format: Mapping[str, Any] | None = None,
    is_parallel: bool = True,
    seed: int | str = 0,
    noise: float = 0.0,
) -> Reply:
    """The answer to a chat in OpenAI's shape: tool calls, JSON when `response_format` asks for it, else text with its last line.

    `seed` matters only together with `noise` (0 to 1).
    """
    task = read_task(read_conversation(messages), Noise(noise, str(seed)))
    chosen = choose_tools(read_tools(tools), tool_choice, task, is_parallel=is_parallel)
    if chosen:
        return Reply("", tuple(_call(tool, task, index=index, turn=len(messages)) for index, tool in enumerate(chosen)))
    if response_format and response_format.get("type") in {"json_schema", "json_object"}:
        return Reply(json.dumps(_fill_format(response_format, task), ensure_ascii=False))
    return Reply(compose_answer(task))


def _call(tool: Tool, task: Task, *, index: int, turn: int) -> ToolCall:
    arguments = fill_schema(tool.parameters, task, name=tool.name) if tool.parameters else {}
    identity = f"{task.request}/{task.noise}/{turn}/{index}/{tool.name}"
    return ToolCall(
        id=f"call_{hashlib.sha256(identity.encode()).hexdigest()[:20]}",
        name=tool.name,
        arguments=arguments if isinstance(arguments, Mapping) else {},
    )


def _fill_format(response_format: Mapping[str, Any], task: Task) -> Json:
    described = response_format.get("json_schema")
    if isinstance(described, Mapping):
        schema = described.get("schema")
        return fill_schema(schema if isinstance(schema, Mapping) else {}, task, name=str(described.get("name") or ""))
    return fill_schema(_schema_from_words(task), task)


def _schema_from_words(task: Task) -> JsonObject:
    """For JSON without a schema: the keys that the prompt quotes, as texts."""
    prompt = f"{task.conversation.instructions}\n{task.request}"
    asked = _KEYS_ASKED_FOR.search(prompt[:8_000])
    names = re.findall(r"[\"'`](\w{1,40})[\"'`]", asked[0]) if asked else ["answer"]
    return {"type": "object", "properties": {name: {"type": "string"} for name in names}}
