"""Fills any JSON schema from a task: by the names of fields first, then from the words of the request, then by type."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, cast

from shadowgraph.core.json import Json
from shadowgraph.llm.offline import extract
from shadowgraph.llm.offline.meaning import canonical
from shadowgraph.llm.offline.records import Record, file_record, file_records, named_records
from shadowgraph.llm.offline.roles import role_of_fields
from shadowgraph.llm.offline.schema_rules import (
    Schema,
    allows_null,
    fit_count,
    fit_number,
    fit_text,
    make_unique,
    resolve,
    type_of,
)
from shadowgraph.llm.offline.task import Task
from shadowgraph.llm.offline.values import Spot, choose_number, choose_word, decide_flag, vary, write_text

MAX_DEPTH = 12
"""Below it only what is required is filled: schemas may contain themselves."""
_HARD_DEPTH = 40
_OWN_FACTS = {"url", "date", "email", "language", "path", "number"}
"""A thing that lacks such a fact has none; its text would be wrong."""


def fill_schema(schema: Schema, task: Task, *, name: str = "") -> Json:
    """A value for a schema. Errors: none; what cannot be satisfied is filled as well as it can be."""
    fields = resolve(schema, schema).get("properties")
    role = role_of_fields(fields) if isinstance(fields, Mapping) else "final"
    return _Filler(task, schema).value(schema, Spot(name, role))


@dataclass(frozen=True, slots=True)
class _Filler:
    task: Task
    root: Schema

    def value(self, raw: Any, spot: Spot) -> Json:
        schema = resolve(raw, self.root)
        if "const" in schema:
            return cast(Json, schema["const"])
        if schema.get("enum"):
            return choose_word(schema["enum"], self.task, spot)
        if spot.depth > _HARD_DEPTH:
            return None
        options = schema.get("anyOf") or schema.get("oneOf")
        return self._union(schema, options, spot) if options else self._typed(schema, spot)

    def _typed(self, schema: Schema, spot: Spot) -> Json:
        kind = type_of(schema)
        if spot.record is not None and (known := self._from_record(schema, kind, spot)) is not None:
            return known
        if kind == "object":
            return self._object(schema, spot)
        if kind == "array":
            return self._array(schema, spot)
        if kind == "boolean":
            return decide_flag(schema, self.task, spot)
        if kind in {"integer", "number"}:
            return choose_number(schema, self.task, spot, is_integer=kind == "integer")
        return None if kind == "null" else write_text(schema, self.task, spot)

    def _union(self, schema: Schema, options: Sequence[Any], spot: Spot) -> Json:
        """The first option that holds something, unless nothing is what the name asks for."""
        filled = [option for option in options if resolve(option, self.root).get("type") != "null"]
        if not filled or (allows_null(schema) and self._is_rather_empty(spot)):
            return None
        beside = {name: value for name, value in schema.items() if name not in {"anyOf", "oneOf"}}
        return self.value({**beside, **resolve(filled[0], self.root)}, replace(spot, depth=spot.depth + 1))

    def _is_rather_empty(self, spot: Spot) -> bool:
        if spot.depth > MAX_DEPTH or canonical(spot.name) in {"problems", "error"}:
            return True
        return canonical(spot.name) == "query" and spot.role == "research" and not self.task.needs_search

    def _object(self, schema: Schema, spot: Spot) -> Json:
        fields = schema.get("properties")
        if not isinstance(fields, Mapping) or not fields:
            return self._mapping(schema, spot)
        record = spot.record
        if record is None and self._is_file(fields):
            record = file_record(self.task.program.files[0])
        wanted = (
            fields
            if spot.depth <= MAX_DEPTH
            else {name: fields[name] for name in schema.get("required", ()) if name in fields}
        )
        filled: dict[str, Json] = {}
        numbers = texts = 0
        for name, field in wanted.items():
            kind = type_of(resolve(field, self.root))
            filled[name] = self.value(field, spot.below(name, record=record, number_index=numbers, text_index=texts))
            numbers += kind in {"integer", "number"}
            texts += kind == "string"
        return filled

    def _mapping(self, schema: Schema, spot: Spot) -> Json:
        """An object with free keys: files by path when that is what it is called, else as empty as it may be."""
        values = schema.get("additionalProperties")
        if canonical(spot.name) == "files" and values is not False:
            return {file.path: file.content for file in self.task.program.files}
        count = fit_count(0, {"minItems": schema.get("minProperties", 0)})
        return {f"key_{number}": self.value(values, spot.below("value")) for number in range(1, count + 1)}

    def _array(self, schema: Schema, spot: Spot) -> Json:
        fixed = schema.get("prefixItems")
        if isinstance(fixed, list):
            return [
                self.value(part, spot.below(spot.name, number_index=i, text_index=i)) for i, part in enumerate(fixed)
            ]
        item = schema.get("items", {})
        records = self._records(item, spot)
        count = fit_count(len(records) if spot.depth <= MAX_DEPTH else 0, schema)
        padded = [*records, *[None] * (count - len(records))][:count]
        name = spot.name.rstrip("s") or spot.name
        values = [
            self.value(item, spot.below(name, record=record, number_index=i, text_index=i))
            for i, record in enumerate(padded)
        ]
        return make_unique(values) if schema.get("uniqueItems") else values

    def _records(self, item: Any, spot: Spot) -> Sequence[Record | None]:
        """What the array is filled with; a None is filled from the request."""
        resolved = resolve(item, self.root)
        fields = resolved.get("properties")
        if isinstance(fields, Mapping) and self._is_file(fields):
            return file_records(self.task)
        if canonical(spot.name) == "files" and self.task.understanding.template == "note":
            return []
        if type_of(resolved) in {"integer", "number"}:
            return [None] * max(1, len(extract.find_numbers(self.task.request)))
        named = named_records(spot.name, self.task)
        return [None] if named is None else named

    def _is_file(self, fields: Mapping[str, Any]) -> bool:
        """An object with a path and a text is a file, whatever it is called."""
        kinds = {canonical(name): type_of(resolve(field, self.root)) for name, field in fields.items()}
        return kinds.get("path") == "string" and kinds.get("content") == "string"

    def _from_record(self, schema: Schema, kind: str | None, spot: Spot) -> Json:
        """The fact of the described thing that this field asks for; None when it has no such fact, or none of this type."""
        record, name = spot.record or {}, canonical(spot.name)
        known = record.get(name)
        if known is None and kind == "string" and name not in _OWN_FACTS:
            known = record.get("text")
        if kind == "string" and isinstance(known, list):
            known = "; ".join(map(str, known))
        if kind == "string" and isinstance(known, str | int | float):
            return fit_text(vary(str(known), self.task, spot), schema)
        if kind in {"integer", "number"} and isinstance(known, int | float):
            return fit_number(known, schema, is_integer=kind == "integer")
        if kind == "array" and known is not None:
            return self._listed(known if isinstance(known, list) else [known], schema, spot)
        return None

    def _listed(self, known: Sequence[Json], schema: Schema, spot: Spot) -> Json:
        """A fact with several values; None when the schema wants others."""
        item = resolve(schema.get("items", {}), self.root)
        if fit_count(len(known), schema) != len(known):
            return None
        kind = type_of(item) or "string"
        if kind in {"integer", "number"}:
            return [
                fit_number(part, item, is_integer=kind == "integer") for part in known if isinstance(part, int | float)
            ]
        return [fit_text(str(part), item) for part in known] if kind == "string" else None
