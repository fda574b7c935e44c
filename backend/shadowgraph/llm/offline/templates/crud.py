"""A REST API with the entity and the fields of the request, on Python's standard library: http.server and sqlite3."""

import json
import re
from collections.abc import Callable, Sequence

from shadowgraph.llm.offline.names import class_name
from shadowgraph.llm.offline.templates.base import UNIT_TESTS, Program, SourceFile, TemplateEntry, render
from shadowgraph.llm.offline.templates.crud_sources import (
    API,
    CHECKS,
    CHECKS_NEEDED_BY,
    MODEL,
    STORE,
    TEST_API,
    TEST_STORE,
)
from shadowgraph.llm.offline.templates.entity import Entity, read_entity
from shadowgraph.llm.offline.templates.fields import Field, FieldKind

Example = str | int | float | bool

MAX_DICT_LINE = 100
"""Longer dictionaries are written one item per line."""
_API_WORDS = re.compile(
    r"\b(?:rest(?:ful)?|crud|apis?|endpoints?|microservice|web ?service|http (?:service|server)|backend)\b"
)
_MANAGING = re.compile(
    r"\b(?:manag\w+|track\w*|stor(?:e|es|ing)|catalog\w*|inventory|database|records? of|verwalt\w+|gestionar|g[ée]rer)\b"
)
_PRODUCT = re.compile(r"\b(?:app|application|system|service|server|program|platform|software|tool|web ?app)\b")
_PYTHON_TYPES: dict[FieldKind, str] = {
    "text": "str",
    "integer": "int",
    "number": "float",
    "flag": "bool",
    "date": "str",
    "email": "str",
}
_SQL_TYPES: dict[FieldKind, str] = {
    "text": "TEXT",
    "integer": "INTEGER",
    "number": "REAL",
    "flag": "BOOLEAN",
    "date": "TEXT",
    "email": "TEXT",
}
_CHECKS: dict[FieldKind, tuple[str, str]] = {
    "text": ("is_text", "a text that is not empty"),
    "integer": ("is_integer", "a whole number"),
    "number": ("is_number", "a number"),
    "flag": ("is_flag", "true or false"),
    "date": ("is_date", "a date such as 2026-01-31"),
    "email": ("is_email", "an e-mail address"),
}
_UNSIGNED_CHECKS: dict[FieldKind, tuple[str, str]] = {
    "integer": ("is_count", "a whole number, 0 or more"),
    "number": ("is_positive_number", "a number, 0 or more"),
}
_TAKEN_CLASSES = {"Any", "Callable", "Field", "Iterable", "Mapping"}
"""Names that the generated modules import or define themselves."""
_EXAMPLES: dict[FieldKind, tuple[Example, Example, Example]] = {
    "integer": (3, 4, "many"),
    "number": (9.5, 12.25, "a lot"),
    "flag": (True, False, "yes"),
    "date": ("2026-01-31", "2026-02-28", "31.01.2026"),
    "email": ("ada@example.org", "grace@example.org", "nobody"),
    "text": ("", "", 7),
}
"""Of each kind: a value, another value, a value that is refused. Texts are made from the field's name."""


def match(text: str) -> int:
    score = 3 * min(2, len(set(_API_WORDS.findall(text))))
    managing = bool(_MANAGING.search(text))
    return score + 1 + managing if score else int(managing) + (managing and bool(_PRODUCT.search(text)))


def build(request: str) -> Program:
    entity = read_entity(request)
    label = entity.name.strip("_").replace("_", " ")
    values = _values(entity, label)
    return Program(
        template="crud",
        title=f"REST API for {entity.plural.replace('_', ' ')}",
        summary=f"A REST API that creates, lists, reads, changes and deletes {entity.plural.replace('_', ' ')} "
        f"({', '.join(map(_describe, entity.fields))}), checks every value and keeps them in SQLite.",
        files=tuple(
            SourceFile(path, render(source, **values), purpose)
            for path, source, purpose in (
                ("model.py", MODEL, f"the {label}, its fields and the rules for their values"),
                ("store.py", STORE, f"keeps {entity.plural.replace('_', ' ')} in SQLite"),
                ("api.py", API, "the HTTP API and the command that serves it"),
                ("test_store.py", TEST_STORE, "tests of the rules and of the store"),
                ("test_api.py", TEST_API, "tests of the API, one of them over a real socket"),
            )
        ),
        run_command="python3 api.py --port 8080",
        test_command=UNIT_TESTS,
        design=(
            "Three layers: the model knows what is valid, the store knows SQL, the API knows HTTP; each is tested without the next.",
            "A refused request names every wrong field, so that a client can mend them all at once.",
            "Names in SQL come from a fixed list of fields and values travel as parameters, which leaves no room for SQL injection.",
            "The API object takes method, path and body and returns a response, so its tests need no socket.",
        ),
        limitations=(
            *_choices_made(entity, label),
            "There is no authentication: the server listens on 127.0.0.1 only.",
        ),
    )


def _describe(field: Field) -> str:
    optional = "" if field.is_required else ", optional"
    return f"{field.name}: {_PYTHON_TYPES[field.kind]}{optional}" if field.kind != "text" or optional else field.name


def _choices_made(entity: Entity, label: str) -> tuple[str, ...]:
    """What the request left open, said openly."""
    choices = []
    if not entity.is_named:
        choices.append(f"I could not tell from the request what is to be managed, so the entity is called {label}.")
    if not entity.has_own_fields:
        choices.append(
            f"The request names no fields; these are usual ones: {', '.join(field.name for field in entity.fields)}."
        )
    return tuple(choices)


def _values(entity: Entity, label: str) -> dict[str, str]:
    valid = _examples(entity.fields, 0)
    first = entity.fields[0]
    return {
        "Entity": _class_of(entity),
        "api_names": ", ".join(["COLLECTION", *sorted([f"{_class_of(entity)}Api", "Response"]), "make_server"]),
        "entity_name": entity.name.strip("_"),
        "entities": entity.plural,
        "path": entity.plural.replace("_", "-"),
        "label": label,
        "a_entity": f"{'an' if label[0] in 'aeiou' else 'a'} {label}",
        "attributes": "\n".join(_attribute(field) for field in _required_first(entity.fields)),
        "fields": "\n".join(f"    {_quoted(field.name)}: {_field_call(field)}," for field in entity.fields),
        "checks": _check_functions(entity.fields),
        "date_import": "from datetime import date\n" if any(field.kind == "date" for field in entity.fields) else "",
        "first": first.name,
        "filter_example": f"{first.name}={_query_text(valid[first.name])}",
        "valid": _python_dict(valid),
        "other": _python_dict(_examples(entity.fields, 1)),
        "wrong": _python_dict(_examples(entity.fields, 2)),
    }


def _class_of(entity: Entity) -> str:
    name = class_name(entity.name)
    return f"{name}Item" if name in _TAKEN_CLASSES else name


def _required_first(fields: Sequence[Field]) -> list[Field]:
    return sorted(fields, key=lambda field: not field.is_required)


def _attribute(field: Field) -> str:
    python_type = _PYTHON_TYPES[field.kind]
    return f"    {field.name}: {python_type}" if field.is_required else f"    {field.name}: {python_type} | None = None"


def _field_call(field: Field) -> str:
    check, expected = _check_of(field)
    optional = "" if field.is_required else ", required=False"
    return f"Field({_quoted(_SQL_TYPES[field.kind])}, {check}, {_quoted(expected)}{optional})"


def _check_of(field: Field) -> tuple[str, str]:
    """The function that checks a field, and what it expects."""
    usual = _CHECKS[field.kind]
    return usual if field.allows_negative else _UNSIGNED_CHECKS.get(field.kind, usual)


def _check_functions(fields: Sequence[Field]) -> str:
    named = {_check_of(field)[0] for field in fields}
    needed = named | {CHECKS_NEEDED_BY[name] for name in named if name in CHECKS_NEEDED_BY}
    return "\n\n\n".join(source.strip("\n") for name, source in CHECKS.items() if name in needed)


def _examples(fields: Sequence[Field], variant: int) -> dict[str, Example]:
    return {field.name: _example(field, variant) for field in fields}


def _example(field: Field, variant: int) -> Example:
    label = field.name.strip("_").replace("_", " ")
    if field.kind == "text" and variant < 2:
        return f"{'Some' if variant == 0 else 'Another'} {label}"
    if field.kind == "integer" and "year" in field.name and variant < 2:
        return 1984 + 15 * variant
    return _EXAMPLES[field.kind][variant]


def _query_text(value: Example) -> str:
    return str(value).replace(" ", "+") if isinstance(value, str) else json.dumps(value)


def _python_dict(values: dict[str, Example]) -> str:
    items = [f"{_quoted(name)}: {_literal(value)}" for name, value in values.items()]
    if len(one_line := ", ".join(items)) < MAX_DICT_LINE:
        return f"{{{one_line}}}"
    lines = "\n".join(f"    {item}," for item in items)
    return f"{{\n{lines}\n}}"


def _literal(value: Example) -> str:
    return _quoted(value) if isinstance(value, str) else repr(value)


_quoted: Callable[[str], str] = json.dumps
"""Names and examples are plain ASCII: a JSON string is a Python string."""

TEMPLATE = TemplateEntry("crud", match, build)
