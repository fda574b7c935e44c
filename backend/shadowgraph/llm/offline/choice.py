"""Which tools to call, told from their names and descriptions and from the words of the request."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from shadowgraph.llm.offline.names import singular, words
from shadowgraph.llm.offline.task import Task

MAX_PARALLEL = 4
ENOUGH = 3
"""A tool that scores less is not called unasked."""
_NAME_WEIGHT, _DESCRIPTION_WEIGHT, _ASKED_FOR = 3, 1, 10
_SEARCH = re.compile(r"search|browse|google|wikipedia|look_?up|news|internet")
_FINISH = re.compile(r"(?:^|_)(?:finish|complete|submit|final|respond|answer|done)(?:$|_)")
_USE_IT = re.compile(r"\b(?:use|using|call|with) (?:the|a|this|that|your) tools?\b", re.IGNORECASE)
_EMPTY_WORDS = {
    *("get", "set", "the", "and", "for", "with", "this", "that", "from", "you", "use", "tool", "a", "an", "of", "to", "in", "is", "my", "on", "it", "or"),
    *("function", "return", "call", "given", "value", "input", "what", "how", "who", "transfer", "ask", "help", "agent", "user", "run", "do", "any", "all"),
    *("at", "by", "as", "be", "when", "if", "will", "can", "not", "your", "me", "i", "one", "two", "another", "text", "string", "number", "list", "new"),
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Tool:
    name: str
    description: str = ""
    parameters: Mapping[str, Any] = field(default_factory=dict)

    @property
    def is_search(self) -> bool:
        return bool(_SEARCH.search(self.name.lower()))

    @property
    def is_finish(self) -> bool:
        return bool(_FINISH.search(self.name.lower()))


def read_tools(tools: Sequence[Mapping[str, Any]] | None) -> tuple[Tool, ...]:
    """From `{"type": "function", "function": {…}}` or the inner object alone; tools without a name are left out."""
    functions = [tool.get("function") or tool for tool in tools or ()]
    return tuple(
        Tool(str(function["name"]), str(function.get("description") or ""), function.get("parameters") or {})
        for function in functions
        if isinstance(function, Mapping) and function.get("name")
    )


def choose_tools(tools: Sequence[Tool], tool_choice: Any, task: Task, *, is_parallel: bool = True) -> tuple[Tool, ...]:
    """The tools to call now: none, one, or several side by side."""
    if not tools or tool_choice == "none":
        return ()
    if name := _forced_name(tool_choice):
        return tuple(tool for tool in tools if tool.name == name)[:1]
    if tool_choice in ("any", "required", True):
        return (_best(tools, task),)
    return _choose_freely(tools, task)[: MAX_PARALLEL if is_parallel else 1]


def _forced_name(tool_choice: Any) -> str | None:
    if isinstance(tool_choice, Mapping):
        function = tool_choice.get("function")
        name = function.get("name") if isinstance(function, Mapping) else tool_choice.get("name")
        return str(name) if name else None
    if isinstance(tool_choice, str) and tool_choice not in {"auto", "any", "required", "none"}:
        return tool_choice
    return None


def _best(tools: Sequence[Tool], task: Task) -> Tool:
    """One must be called: one without a result yet that fits best; when all have one, the tool that ends the work."""
    waiting = [tool for tool in tools if tool.name not in _done(task)]
    if not waiting:
        return next((tool for tool in tools if tool.is_finish), tools[0])
    working = [tool for tool in waiting if not tool.is_finish] or waiting
    return max(working, key=lambda tool: _score(tool, task, is_only=len(tools) == 1))


def _choose_freely(tools: Sequence[Tool], task: Task) -> tuple[Tool, ...]:
    """Tools that the request asks for and that have no result yet; after their results, the tool that ends the work."""
    waiting = [tool for tool in tools if tool.name not in _done(task)]
    fitting = tuple(tool for tool in waiting if _is_wanted(tool, task, is_only=len(tools) == 1))
    if fitting or not task.conversation.results:
        return fitting
    return tuple(tool for tool in waiting if tool.is_finish)[:1]


def _is_wanted(tool: Tool, task: Task, *, is_only: bool) -> bool:
    if tool.is_finish:
        return False
    if tool.is_search:
        return task.needs_search
    return _score(tool, task, is_only=is_only) >= ENOUGH


def _score(tool: Tool, task: Task, *, is_only: bool) -> int:
    if tool.name.lower() in task.request.lower() or (is_only and _USE_IT.search(task.request)):
        return _ASKED_FOR
    asked = _telling_words(task.request)
    named, described = _telling_words(tool.name), _telling_words(tool.description)
    return _NAME_WEIGHT * len(asked & named) + _DESCRIPTION_WEIGHT * len(asked & (described - named))


def _telling_words(text: str) -> set[str]:
    return {singular(word) for word in words(text)} - _EMPTY_WORDS


def _done(task: Task) -> set[str]:
    return {result.tool for result in task.conversation.results}
