"""LangGraph's own `langgraph.json`: which graphs a project has, and what they need."""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from sys import version_info
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from shadowgraph.engine.loading.errors import BadProject, invalid_file

CONFIG_FILE = "langgraph.json"

_IMAGE = "only matters for the container images that LangGraph's own tools build"
UNSERVED_KEYS = {
    "auth": "not applied: this code does not decide who may send requests",
    "encryption": "not applied: what is stored is not encrypted by this code",
    "http": "not applied: its app, routes and middleware are not mounted",
    "store": "not served: graphs get no store",
    "checkpointer": "replaced: Shadowgraph keeps the checkpoints in its own database",
    "webhooks": "not served",
    "ui": "not served",
    "ui_config": "not served",
    "api_version": "not served: it names a version of LangGraph's server",
    **dict.fromkeys(
        (
            "node_version",
            "base_image",
            "image_distro",
            "dockerfile_lines",
            "pip_config_file",
            "pip_installer",
            "keep_pkg_tools",
            "source",
        ),
        _IMAGE,
    ),
}
_UNKNOWN_KEY = "not known: ignored"


@dataclass(frozen=True, slots=True)
class GraphEntry:
    target: str
    """`./file.py:variable` or `package.module:variable`."""
    description: str | None = None


@dataclass(frozen=True, slots=True)
class ProjectConfig:
    graphs: Mapping[str, GraphEntry]
    dependencies: tuple[str, ...] = ()
    env: Mapping[str, str] | str | None = None
    """Variables, or a file of them."""
    unserved: Mapping[str, str] = field(default_factory=dict)
    """Keys without effect, with what that means."""


class _Entry(BaseModel):
    model_config = ConfigDict(extra="allow")

    path: str
    description: str | None = None


class _File(BaseModel):
    model_config = ConfigDict(extra="allow")

    graphs: Annotated[dict[str, str | _Entry], Field(min_length=1)]
    dependencies: tuple[str, ...] = ()
    env: dict[str, Annotated[str, Field(coerce_numbers_to_str=True)]] | str | None = None
    python_version: str | None = None


def read_config(directory: Path) -> ProjectConfig:
    """Errors: `BadProject`."""
    path = directory / CONFIG_FILE
    try:
        found = json.loads(path.read_bytes(), object_pairs_hook=_unique)
    except OSError as error:
        hint = "a project is a folder with langgraph.json"
        raise BadProject(f"{path} cannot be read: {error.strerror}", hint=hint) from error
    except ValueError as error:
        raise BadProject(f"{path} is not JSON: {error}") from error
    if not isinstance(found, dict) or not isinstance(found.get("graphs"), dict) or not found["graphs"]:
        raise BadProject(f'{path} has no "graphs": {{"name": "./file.py:variable"}}')
    try:
        file = _File.model_validate(found)
    except ValidationError as error:
        raise invalid_file(CONFIG_FILE, error) from error
    return ProjectConfig(
        graphs={name: _entry(given) for name, given in file.graphs.items()},
        dependencies=file.dependencies,
        env=file.env,
        unserved=_unserved(file),
    )


def _unique(pairs: Iterable[tuple[str, Any]]) -> dict[str, Any]:
    """JSON lets the last of two equal names win without a word: then a graph would be missing."""
    found: dict[str, Any] = {}
    for name, value in pairs:
        if name in found:
            raise BadProject(f"{CONFIG_FILE} has the name {name!r} twice")
        found[name] = value
    return found


def _entry(given: str | _Entry) -> GraphEntry:
    return GraphEntry(given) if isinstance(given, str) else GraphEntry(given.path, given.description)


def _unserved(file: _File) -> Mapping[str, str]:
    found = {key: UNSERVED_KEYS.get(key, _UNKNOWN_KEY) for key in file.model_extra or {} if key != "$schema"}
    for name, given in file.graphs.items():
        if isinstance(given, _Entry):
            found |= {f"graphs.{name}.{key}": _UNKNOWN_KEY for key in given.model_extra or {}}
    here = f"{version_info.major}.{version_info.minor}"
    if file.python_version not in (None, here):
        found["python_version"] = f"not applied: the project runs on Python {here}"
    return found
