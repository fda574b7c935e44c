"""What a snapshot says of itself, as values. Its canonical JSON is what the digest is made of, so nothing here may differ between two
machines that hold the same project: no times, names of people or hosts, absolute paths, values of variables, floating-point numbers.
"""

import unicodedata
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

from pydantic import ConfigDict, TypeAdapter, ValidationError

from shadowgraph.core.json import canonical, digest
from shadowgraph.core.text import sanitise_text
from shadowgraph.versioning.errors import InvalidSnapshot, Place, invalid, place

FORMAT = "shadowgraph/snapshot@1"
APP_PROTOCOL = "1.0"
"""Of state and authoring functions, major.minor: what a project's code can rely on, whichever release of ours runs it."""

MAX_MANIFEST_BYTES = 4 << 20

_STRICT = ConfigDict(extra="forbid", strict=True)


@dataclass(frozen=True, slots=True)
class File:
    __pydantic_config__ = _STRICT

    digest: str
    size: int
    """bytes"""


@dataclass(frozen=True, slots=True)
class Prompt:
    __pydantic_config__ = _STRICT

    path: str
    variables: tuple[str, ...]
    """That its text has, sorted."""


@dataclass(frozen=True, slots=True)
class Parameters:
    """`[agents.NAME]` of `shadowgraph.toml`; None: it says nothing."""

    __pydantic_config__ = _STRICT

    model: str | None = None
    """`default` or another route, whose targets are live, or `provider:model`."""
    temperature: str | None = None
    """A number, as text."""
    max_tokens: int | None = None
    prompt: str | None = None
    tools: tuple[str, ...] | None = None


@dataclass(frozen=True, slots=True)
class Tool:
    __pydantic_config__ = _STRICT

    description: str
    parameters: Mapping[str, Any]
    """JSON schema of its arguments."""
    effect: Literal["pure", "read", "write", "irreversible"]
    idempotent: bool
    origin: Literal["registered", "own"]
    """registered: of the installation that runs the project."""


@dataclass(frozen=True, slots=True)
class Edge:
    __pydantic_config__ = _STRICT

    source: str
    target: str
    conditional: bool


@dataclass(frozen=True, slots=True)
class Graph:
    """Read from the compiled graph, for pictures, differences and checks: what runs is the code."""

    __pydantic_config__ = _STRICT

    nodes: tuple[str, ...]
    edges: tuple[Edge, ...]
    input_schema: Mapping[str, Any]
    output_schema: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Runtime:
    __pydantic_config__ = _STRICT

    app_protocol: str
    requires_python: str | None
    requirements: tuple[str, ...]
    """Packages that the project names, as it names them; sorted."""


@dataclass(frozen=True, slots=True)
class Uses:
    """What a node's code is made of. None: it cannot be told, so that every change may be one of this node."""

    __pydantic_config__ = _STRICT

    files: tuple[str, ...] | None = None
    """The module that defines it, and what that imports inside the project."""
    words: tuple[str, ...] | None = None
    """Names that stand in the code that it reaches: it uses the prompts, agents and tools among them."""
    tools: tuple[str, ...] | None = None
    """Of the project's own."""


@dataclass(frozen=True, slots=True)
class Manifest:
    __pydantic_config__ = _STRICT

    workflow: str
    files: Mapping[str, File]
    prompts: Mapping[str, Prompt]
    agents: Mapping[str, Parameters]
    tools: Mapping[str, Tool]
    graph: Graph
    runtime: Runtime
    environment: tuple[str, ...]
    """Names of the variables that its `langgraph.json` sets."""
    uses: Mapping[str, Uses]
    """By node."""
    nodes: Mapping[str, str] = field(default_factory=dict)
    """Digest of each node, of all that it uses."""
    facets: Mapping[str, str] = field(default_factory=dict)
    """Digest of each kind of change."""
    package: str | None = None
    """Dotted name by which the project's own folder is imported as a package; None: it is none."""
    format: str = FORMAT

    @property
    def size_bytes(self) -> int:
        return sum(file.size for file in self.files.values())

    @property
    def prompt_paths(self) -> frozenset[str]:
        return frozenset(prompt.path for prompt in self.prompts.values())

    @property
    def used_files(self) -> frozenset[str]:
        """Files that some node's code is known to import."""
        return frozenset(path for uses in self.uses.values() for path in uses.files or ())

    def to_json(self) -> dict[str, Any]:
        values = asdict(self)
        if self.package is None:
            del values["package"]
        return values


_ADAPTER = TypeAdapter(Manifest)


def encode(manifest: Manifest) -> bytes:
    return canonical(manifest.to_json())


def digest_of(manifest: Manifest) -> str:
    return digest(manifest.to_json())


def decode(body: bytes) -> Manifest:
    """Of bytes that may come from anywhere.

    Errors: `InvalidSnapshot`, also for JSON that is not in its canonical form.
    """
    if len(body) > MAX_MANIFEST_BYTES:
        raise InvalidSnapshot(f"the manifest has more than {MAX_MANIFEST_BYTES} bytes")
    try:
        manifest = _ADAPTER.validate_json(body)
        encoded = encode(manifest)
    except ValidationError as error:
        raise invalid([_place_of(item) for item in error.errors(include_input=False)]) from error
    except (TypeError, RecursionError) as error:  # nested too deeply to be written
        raise InvalidSnapshot("the manifest cannot be written as JSON") from error
    if manifest.format != FORMAT:
        raise InvalidSnapshot(f"the format is {manifest.format[:80]!r}, not {FORMAT!r}")
    if encoded != body or canonical(freeze(manifest.to_json())) != body:
        raise InvalidSnapshot("the manifest is not in its canonical form", hint="write it with: versions export")
    return manifest


def _place_of(item: Mapping[str, Any]) -> Place:
    return place("/".join(["manifest", *map(str, item["loc"])]), str(item["msg"]))


def load(value: Mapping[str, Any]) -> Manifest:
    """Of what this program stored."""
    return _ADAPTER.validate_json(canonical(value))


def freeze(value: Any) -> Any:
    """The same as plain JSON that is written in one way only: composed Unicode without control characters, numbers with a point as text.

    Errors: `TypeError` for what JSON cannot say.
    """
    if isinstance(value, str):
        return unicodedata.normalize("NFC", sanitise_text(value))
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, int):
        return value if abs(value) < 1 << 53 else str(value)
    if isinstance(value, float):
        return repr(value)
    if isinstance(value, Mapping):
        return {freeze(str(key)): freeze(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [freeze(item) for item in value]
    raise TypeError(f"a value of type {type(value).__name__} is not JSON")
