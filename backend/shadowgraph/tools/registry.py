"""The tools of an installation by name; `definitions.py` lists them."""

from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from functools import cached_property

from jsonschema import Draft202012Validator
from jsonschema.exceptions import SchemaError, ValidationError

from shadowgraph.core.calls import ToolDescription
from shadowgraph.core.errors import Invalid, NotFound
from shadowgraph.core.json import Json, JsonObject

DEFAULT_TIMEOUT_SECONDS = 30.0
DEFAULT_MAX_RESULT_BYTES = 64_000
"""A longer result is shortened before anybody reads it: it goes into prompts, and prompts cost money."""
MAX_REPORTED_ERRORS = 5


class UnknownTool(NotFound):
    code = "unknown_tool"


class InvalidTool(Invalid):
    """A definition that cannot stand: a name used twice, a schema that is none."""

    code = "invalid_tool"


class InvalidArguments(Invalid):
    """The arguments do not fit the tool's schema. `errors` names each place: [{pointer, detail}]."""

    code = "invalid_tool_arguments"


@dataclass(frozen=True, slots=True)
class ToolContext:
    """What an implementation may know of the call it serves."""

    agent: str
    idempotency_key: str
    """`run:key`, the same when a call is repeated after a crash: a tool that writes hands it on, so that the other side can refuse the repeat."""


ToolFunction = Callable[[JsonObject, ToolContext], Awaitable[Json]]


@dataclass(frozen=True)
class Tool:
    description: ToolDescription
    run: ToolFunction
    timeout_seconds: float | None = DEFAULT_TIMEOUT_SECONDS
    """After this the call fails; a write that is not idempotent is then in doubt. None: only the run's own limits hold."""
    max_result_bytes: int = DEFAULT_MAX_RESULT_BYTES
    passes: tuple[type[Exception], ...] = ()
    """See `core.calls.AuthoredTool`, like `adopt`."""
    adopt: Callable[[Json], Json] = lambda result: result

    @property
    def name(self) -> str:
        return self.description.name

    @property
    def may_repeat(self) -> bool:
        """Whether a call whose end nobody saw can simply be made again."""
        return self.description.effect in ("pure", "read") or (
            self.description.effect == "write" and self.description.idempotent
        )

    @cached_property
    def _validator(self) -> Draft202012Validator:
        return Draft202012Validator(dict(self.description.parameters))

    def check(self, arguments: JsonObject) -> None:
        """Errors: `InvalidArguments`, in words that a model can act on."""
        errors = [_problem(error) for error in self._validator.iter_errors(arguments)]
        if errors:
            first = errors[0]
            raise InvalidArguments(
                f"arguments of tool {self.name!r} do not fit: {first['pointer'] or '/'} {first['detail']}",
                tool=self.name,
                errors=errors[:MAX_REPORTED_ERRORS],
            )


class ToolRegistry:
    def __init__(self, tools: Iterable[Tool] = ()) -> None:
        self._tools: dict[str, Tool] = {}
        for tool in tools:
            self.add(tool)

    def add(self, tool: Tool) -> None:
        """Errors: `InvalidTool`."""
        if tool.name in self._tools:
            raise InvalidTool(f"two tools have the name {tool.name!r}", tool=tool.name)
        try:
            Draft202012Validator.check_schema(dict(tool.description.parameters))
        except SchemaError as error:
            raise InvalidTool(
                f"the parameters of tool {tool.name!r} are no JSON schema: {error.message}", tool=tool.name
            ) from error
        self._tools[tool.name] = tool

    def require(self, name: str) -> Tool:
        """Errors: `UnknownTool`."""
        if tool := self._tools.get(name):
            return tool
        raise UnknownTool(f"there is no tool {name!r}", hint=f"known tools: {', '.join(self.names())}", tool=name)

    def names(self) -> tuple[str, ...]:
        return tuple(sorted(self._tools))


def _problem(error: ValidationError) -> dict[str, str]:
    return {"pointer": "".join(f"/{part}" for part in error.absolute_path), "detail": error.message[:300]}
