"""What a graph takes and gives, as JSON schemas."""

from collections.abc import Callable, Mapping
from dataclasses import is_dataclass
from functools import partial
from typing import Any, get_type_hints

from langgraph.graph.state import CompiledStateGraph
from langgraph.pregel import Pregel
from pydantic import TypeAdapter
from pydantic.errors import PydanticUserError
from typing_extensions import is_typeddict

from shadowgraph.core.json import Json, JsonObject
from shadowgraph.engine.loading.typed_dicts import described_by_pydantic

Graph = Pregel[Any, Any, Any, Any]

_ROLES = ["user", "human", "assistant", "ai", "system", "developer", "tool", "function", "remove"]
MESSAGE: JsonObject = {
    "description": "A text, a pair [role, text], or an object with role (or type) and content, as OpenAI and LangChain write it.",
    "type": ["object", "string", "array"],
    "properties": {
        "role": {"enum": _ROLES},
        "type": {"enum": _ROLES},
        "content": {"type": ["string", "array", "null"]},
    },
    "if": {"not": {"required": ["type"]}},
    "then": {"required": ["role", "content"]},
    "minItems": 2,
    "maxItems": 2,
    "prefixItems": [{"enum": _ROLES}, {"type": ["string", "array"]}],
}
"""Its parts apply to the type that they are about: those of objects say nothing about a text."""

MESSAGES: JsonObject = {
    "title": "Messages",
    "description": "One message, or a list of them; they are added to those of the conversation.",
    "if": {"type": "array"},
    "then": {"items": {"$ref": "#/$defs/ShadowgraphMessage"}},
    "else": {"$ref": "#/$defs/ShadowgraphMessage"},
}


def input_schema_of(graph: Graph) -> JsonObject:
    """The JSON schema of what may be sent.

    LangGraph takes any part of a plain state, while the schema of a TypedDict or dataclass calls every key required: then none is.
    """
    schema = dict(_schema(graph.get_input_jsonschema, partial(_input_type, graph)))
    if _takes_any_part(graph):
        schema.pop("required", None)
    return _with_messages(graph, schema)


def output_schema_of(graph: Graph) -> JsonObject:
    return _schema(graph.get_output_jsonschema, partial(_output_type, graph))


def _schema(ask: Callable[[], JsonObject], find_type: Callable[[], Any]) -> JsonObject:
    """Python 3.11 cannot describe a `typing.TypedDict`, and no Python an arbitrary class: then key by key, as far as it goes."""
    try:
        return _at_the_root(ask())
    except PydanticUserError:
        return _describe(find_type())


def _at_the_root(schema: JsonObject) -> JsonObject:
    """A schema that only refers to one of its definitions, as that definition."""
    name = str(schema.get("$ref", "")).removeprefix("#/$defs/")
    definitions = schema.get("$defs")
    found = definitions.get(name) if isinstance(definitions, Mapping) else None
    if not isinstance(found, Mapping):
        return schema
    return {**{key: value for key, value in schema.items() if key != "$ref"}, **found}


def _builder_of(graph: Graph) -> Any:
    return graph.builder if isinstance(graph, CompiledStateGraph) else None


def _takes_any_part(graph: Graph) -> bool:
    builder = _builder_of(graph)
    return (
        builder is not None
        and builder.input_schema is builder.state_schema
        and not hasattr(builder.state_schema, "model_fields")
    )


def _input_type(graph: Graph) -> Any:
    builder = _builder_of(graph)
    return builder.input_schema if builder else graph.InputType


def _output_type(graph: Graph) -> Any:
    builder = _builder_of(graph)
    return builder.output_schema if builder else graph.OutputType


# --- key by key -----------------------------------------------------------------------------------------------------------------


def _describe(found: Any) -> JsonObject:
    if not (is_typeddict(found) or is_dataclass(found) or hasattr(found, "model_fields")):
        adapter = _adapter(found)
        return _at_the_root(adapter.json_schema()) if adapter else {}
    hints = get_type_hints(found, include_extras=True)
    keys = {name: hint for name, hint in hints.items() if not name.startswith("_")}
    return {"type": "object", "title": found.__name__, **_properties(keys), "required": _required(found, keys)}


def _properties(hints: Mapping[str, Any]) -> dict[str, Json]:
    adapters = {name: adapter for name, hint in hints.items() if (adapter := _adapter(hint))}
    schemas, definitions = TypeAdapter.json_schemas(
        [(name, "validation", adapter) for name, adapter in adapters.items()]
    )
    described: dict[str, Json] = {name: schema for (name, _), schema in schemas.items()}
    return {"properties": {name: described.get(name, {}) for name in hints}, **definitions}


def _adapter(hint: Any) -> TypeAdapter[Any] | None:
    """None: the type can be anything."""
    try:
        adapter: TypeAdapter[Any] = TypeAdapter(described_by_pydantic(hint))
        adapter.json_schema()
    except PydanticUserError:
        return None
    return adapter


def _required(found: Any, hints: Mapping[str, Any]) -> list[str]:
    if is_typeddict(found):
        return [name for name in hints if name in found.__required_keys__]
    if is_dataclass(found):
        return [name for name in hints if not hasattr(found, name) and not _has_factory(found, name)]
    return [name for name, field in found.model_fields.items() if field.is_required()]


def _has_factory(found: Any, name: str) -> bool:
    field = found.__dataclass_fields__.get(name)
    return field is None or callable(field.default_factory)


# --- messages -------------------------------------------------------------------------------------------------------------------


def _with_messages(graph: Graph, schema: JsonObject) -> JsonObject:
    """LangGraph's reducer of messages takes more than the type of its key says: OpenAI's objects, pairs, texts, and one alone."""
    properties = schema.get("properties")
    if not isinstance(properties, Mapping):
        return schema
    taken = [name for name in properties if _reduces_messages(graph.channels.get(name))]
    if not taken:
        return schema
    definitions = schema.get("$defs")
    return _without_unused(
        {
            **schema,
            "properties": {**properties, **dict.fromkeys(taken, MESSAGES)},
            "$defs": {**(definitions if isinstance(definitions, Mapping) else {}), "ShadowgraphMessage": MESSAGE},
        }
    )


def _reduces_messages(channel: Any) -> bool:
    reducer = getattr(channel, "operator", None) or getattr(channel, "reducer", None)
    function = reducer.func if isinstance(reducer, partial) else reducer
    module = getattr(function, "__module__", "") or ""
    return module.startswith("langgraph.") and "messages" in getattr(function, "__name__", "")


def _without_unused(schema: JsonObject) -> JsonObject:
    """Without the definitions that nothing leads to any more: those of LangChain's messages are twenty kilobytes."""
    definitions = schema["$defs"]
    assert isinstance(definitions, Mapping)
    used: set[str] = set()
    waiting = _references({key: value for key, value in schema.items() if key != "$defs"})
    while waiting:
        name = waiting.pop()
        if name not in used and name in definitions:
            used.add(name)
            waiting |= _references(definitions[name])
    return {**schema, "$defs": {name: value for name, value in definitions.items() if name in used}}


def _references(value: Any) -> set[str]:
    if isinstance(value, Mapping):
        own = value.get("$ref")
        found = {own.removeprefix("#/$defs/")} if isinstance(own, str) else set()
        return found.union(*(_references(item) for item in value.values()))
    if isinstance(value, list | tuple):
        return set().union(*(_references(item) for item in value))
    return set()
