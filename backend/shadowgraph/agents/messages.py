"""Conversations from prompt files. What users, the web and other models wrote goes into the user's turn, between tags; never into the
system prompt."""

import json
import re
from typing import Any

from langchain_core.messages import BaseMessage, HumanMessage, SystemMessage

from shadowgraph import prompt

_OUR_TAGS = re.compile(
    r"<(?=\s*/?\s*(?:request|notes|plan|architecture|files|checks|problem|search_results)\b)", re.IGNORECASE
)


def conversation(agent: str, task: str, **values: str) -> list[BaseMessage]:
    """The agent's system prompt, and its task with the values filled in."""
    return [SystemMessage(prompt(agent).render()), filled(task, **values)]


def filled(task: str, **values: str) -> HumanMessage:
    """A prompt need not use every value: whoever edits one may leave something out."""
    template = prompt(task)
    used = {name: quoted(value) for name, value in values.items() if name in template.variables}
    return HumanMessage(template.render(**used))


def quoted(text: str) -> str:
    """Text that cannot close or open one of the tags that it will stand between."""
    return _OUR_TAGS.sub("&lt;", text)


def as_text(value: Any) -> str:
    """State as a model reads it best: indented JSON."""
    return json.dumps(value, indent=1, ensure_ascii=False)
