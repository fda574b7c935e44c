"""Notes the models, tools and prompts among the objects that a node's code can reach."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import FunctionType, ModuleType
from typing import Any

from langchain_core.language_models import BaseLanguageModel
from langchain_core.tools import BaseTool

from shadowgraph.engine.loading.reach import walk

_AUTHORING = "shadowgraph.authoring."
_CLIENTS = {"openai", "anthropic", "groq", "litellm", "mistralai", "cohere", "together"}
"""Libraries of providers: LangChain's callbacks see nothing of their calls."""
_MODEL_MAKERS = {"init_chat_model"}


@dataclass(slots=True)
class Sightings:
    own_models: bool = False
    own_tools: bool = False
    middleware: bool = False
    prompts: bool = False
    foreign_models: set[str] = field(default_factory=set)
    plain_tools: set[str] = field(default_factory=set)
    clients: set[str] = field(default_factory=set)

    @property
    def calls_a_model(self) -> bool:
        return bool(self.own_models or self.foreign_models or self.clients)

    @property
    def calls_something(self) -> bool:
        return bool(self.calls_a_model or self.own_tools or self.plain_tools)


def look_at(parts: Iterable[Any], roots: Sequence[Path]) -> Sightings:
    """`roots`: the author's folders; the code of a library is not read, only what it was given."""
    seen = Sightings()
    walk(parts, roots, lambda found: _note(found, seen))
    return seen


def _note(found: Any, seen: Sightings) -> bool:
    """True: it is known, and what lies behind it says nothing more."""
    home = _home_of(found)
    if home.startswith(_AUTHORING):
        _note_ours(home.removeprefix(_AUTHORING), seen)
    elif isinstance(found, BaseTool):
        seen.plain_tools.add(found.name)
        return False
    elif _is_model(found):
        seen.foreign_models.add(_name_of(found))
    elif isinstance(found, ModuleType):
        return False
    elif home.partition(".")[0] in _CLIENTS:
        seen.clients.add(home.partition(".")[0])
    else:
        return False
    return True


def _note_ours(part: str, seen: Sightings) -> None:
    seen.own_models |= part == "chat_model"
    seen.own_tools |= part == "tool"
    seen.middleware |= part == "middleware"
    seen.prompts |= part == "prompt"


def _is_model(found: Any) -> bool:
    if isinstance(found, FunctionType):
        return found.__name__ in _MODEL_MAKERS
    return isinstance(found, BaseLanguageModel) or (isinstance(found, type) and issubclass(found, BaseLanguageModel))


def _name_of(found: Any) -> str:
    return str(found.__name__) if isinstance(found, type | FunctionType) else type(found).__name__


def _home_of(found: Any) -> str:
    """The module that it was written in. A function says so by its globals: decorators change its name and module."""
    if isinstance(found, FunctionType):
        return str(found.__globals__.get("__name__", ""))
    if isinstance(found, ModuleType):
        return found.__name__
    return str(getattr(found if isinstance(found, type) else type(found), "__module__", ""))
