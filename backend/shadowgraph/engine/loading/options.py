"""`shadowgraph.toml`: what a project may say beside LangGraph's own `langgraph.json`."""

import re
import tomllib
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from shadowgraph.core.agent_settings import AgentSettings
from shadowgraph.core.paths import UnsafePath, require_safe_path
from shadowgraph.core.settings import MAX_USD
from shadowgraph.engine.loading.errors import BadProject, invalid_file

OPTIONS_FILE = "shadowgraph.toml"
NOT_SERVED_YET = {"scorer": "no answer is scored"}
"""Keys of `[workflow.NAME]` that are accepted and have no effect, with what that means."""

_NAME = r"^[A-Za-z0-9][A-Za-z0-9_-]{0,63}$"
_STRICT = ConfigDict(extra="forbid", frozen=True)


@dataclass(frozen=True, slots=True)
class WorkflowOptions:
    description: str | None = None
    timeout_seconds: float | None = None
    """For runs that name no `timeout_s` of their own."""
    default_budget_usd: Decimal | None = None
    """For runs that name no `budget_usd` of their own."""


@dataclass(frozen=True, slots=True)
class Options:
    name: str | None = None
    """Of the project; None: its folder's."""
    agents: Mapping[str, AgentSettings] = field(default_factory=dict)
    workflows: Mapping[str, WorkflowOptions] = field(default_factory=dict)
    unserved: Mapping[str, str] = field(default_factory=dict)
    """Keys without effect, with what that means."""


class _Agent(BaseModel):
    model_config = _STRICT

    model: Annotated[str, Field(pattern=r"^([a-z][a-z_-]*|[^\s:]+:\S+)$")] | None = None
    temperature: Annotated[float, Field(ge=0, le=2)] | None = None
    max_tokens: Annotated[int, Field(ge=1)] | None = None
    prompt: str | None = None
    tools: tuple[str, ...] | None = None


def _as_written(value: object) -> object:
    """0.1 in the file is a tenth, not the binary number next to it."""
    return str(value) if isinstance(value, float) else value


class _Workflow(BaseModel):
    model_config = _STRICT

    description: str | None = None
    default_budget_usd: Annotated[Decimal, BeforeValidator(_as_written), Field(ge=0, le=MAX_USD)] | None = None
    timeout_s: Annotated[float, Field(gt=0)] | None = None
    scorer: str | None = None


class _File(BaseModel):
    model_config = _STRICT

    name: Annotated[str, Field(pattern=_NAME)] | None = None
    agents: dict[str, _Agent] = Field(default_factory=dict)
    workflow: dict[str, _Workflow] = Field(default_factory=dict)


def read_options(directory: Path, workflows: Collection[str]) -> Options:
    """Empty when there is no such file.

    Errors: `BadProject`, for a key that is not known, a value that does not fit, a workflow or a prompt that is not there.
    """
    path = directory / OPTIONS_FILE
    if not path.exists():
        return Options()
    file = _parse(path.read_bytes())
    _require_known(file.workflow, workflows)
    for name, agent in file.agents.items():
        _require_prompt(directory, name, agent.prompt)
    return Options(
        name=file.name,
        agents=_agents_of(file),
        workflows={
            name: WorkflowOptions(said.description, said.timeout_s, said.default_budget_usd)
            for name, said in file.workflow.items()
        },
        unserved=dict(_unserved(file)),
    )


def agents_in(text: str) -> Mapping[str, AgentSettings]:
    """`[agents.NAME]` of a file's text, without a look at the project around it.

    Errors: `BadProject`.
    """
    return _agents_of(_parse(text.encode()))


def _parse(body: bytes) -> _File:
    try:
        return _File.model_validate(tomllib.loads(body.decode()))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise BadProject(f"{OPTIONS_FILE} is not TOML: {error}") from error
    except ValidationError as error:
        raise invalid_file(OPTIONS_FILE, error) from error


def _agents_of(file: _File) -> Mapping[str, AgentSettings]:
    return {name: AgentSettings(**agent.model_dump()) for name, agent in file.agents.items()}


def name_of_project(directory: Path) -> str:
    """What a project is called wherever it lies: `name` of its `shadowgraph.toml`, else its folder's name.

    For people who are told of it before it is loaded, or that it cannot be: a file with mistakes names nothing, loading says what they are.
    """
    try:
        named = tomllib.loads((directory / OPTIONS_FILE).read_text(encoding="utf-8")).get("name")
    except (OSError, tomllib.TOMLDecodeError, UnicodeDecodeError):
        named = None
    return named if isinstance(named, str) and re.match(_NAME, named) else directory.resolve().name


def _require_known(named: Collection[str], workflows: Collection[str]) -> None:
    unknown = sorted(set(named) - set(workflows))
    if unknown:
        known = ", ".join(sorted(workflows))
        raise BadProject(f"{OPTIONS_FILE}: there is no workflow {unknown[0]!r}", hint=f"langgraph.json has {known}")


def _require_prompt(directory: Path, agent: str, prompt: str | None) -> None:
    if prompt is None:
        return
    try:
        exists = (directory / require_safe_path(prompt)).is_file()
    except UnsafePath as error:
        raise BadProject(f"{OPTIONS_FILE}: agents.{agent}.prompt: {error.message}") from error
    if not exists:
        raise BadProject(f"{OPTIONS_FILE}: agents.{agent}.prompt: there is no file {prompt!r} in the project")


def _unserved(file: _File) -> Iterator[tuple[str, str]]:
    for name, said in file.workflow.items():
        for key, what in NOT_SERVED_YET.items():
            if getattr(said, key) is not None:
                yield f"workflow.{name}.{key}", f"not served yet: {what}"
