"""A React component in TypeScript: a card, a form, a list or a counter, with the fields of the request. Nothing can run it here, so it
is checked structurally, and the answer says that this is all."""

import re
from collections.abc import Callable
from typing import Literal

from shadowgraph.llm.offline.names import class_name, plural
from shadowgraph.llm.offline.templates.base import Program, SourceFile, TemplateEntry, render
from shadowgraph.llm.offline.templates.entity import Entity, read_entity
from shadowgraph.llm.offline.templates.fields import Field, FieldKind
from shadowgraph.llm.offline.templates.jsx import structural_problems
from shadowgraph.llm.offline.templates.react_sources import (
    CARD,
    COUNTER,
    CSS,
    FORM,
    LIST,
    TEST_CARD,
    TEST_COUNTER,
    TEST_FORM,
    TEST_LIST,
)

ComponentKind = Literal["card", "form", "list", "counter"]

_REACT = re.compile(r"\breact(?:\.?js)?\b(?! to(?![\w-]))|\b[jt]sx\b")
_COMPONENT = re.compile(r"\b(?:components?|form|card|table|button|hook|ui|page|komponente|componente|composant)\b")
_KINDS: tuple[tuple[ComponentKind, re.Pattern[str]], ...] = (
    ("counter", re.compile(r"\bcounter\b|\bclick count\b")),
    ("form", re.compile(r"\b(?:forms?|login|sign[ -]?up|registration|formular)\b")),
    ("list", re.compile(r"\b(?:lists?|tables?|grid|todos?|to-do)\b")),
)
_PLAIN_JAVASCRIPT = re.compile(r"\b(?:javascript|jsx|js)\b(?!.*\btypescript\b)")
_TS_TYPES: dict[FieldKind, str] = {
    "text": "string",
    "integer": "number",
    "number": "number",
    "flag": "boolean",
    "date": "string",
    "email": "string",
}
_INPUT_TYPES: dict[FieldKind, str] = {
    "text": "text",
    "integer": "number",
    "number": "number",
    "flag": "checkbox",
    "date": "date",
    "email": "email",
}
_SAMPLES: dict[FieldKind, str] = {
    "integer": "3",
    "number": "9.5",
    "flag": "true",
    "date": '"2026-01-31"',
    "email": '"ada@example.org"',
}
_RESERVED_PROPS = {
    "key",
    "ref",
    "children",
    "default",
    "new",
    "delete",
    "function",
    "switch",
    "case",
    "this",
    "typeof",
    "void",
    "var",
    "let",
    "const",
}


def match(text: str) -> int:
    return 6 + bool(_COMPONENT.search(text)) if _REACT.search(text) else 0


def build(request: str) -> Program:
    text = request.lower()
    kind = _read_kind(text)
    entity = _counter() if kind == "counter" else _entity_of(text, kind)
    name = _component_name(entity, kind)
    source = render(_SOURCES[kind], **_values(entity, name))
    problems = structural_problems(source)
    return Program(
        template="react",
        title=f"React component {name}",
        summary=_SUMMARIES[kind](entity),
        files=(
            SourceFile(f"{name}.tsx", source, "the component and the type of its props"),
            SourceFile(f"{name}.css", CSS, "its looks: plain CSS, no library"),
            SourceFile(
                f"{name}.test.tsx",
                render(_TESTS[kind], **_values(entity, name)),
                "tests for Vitest and Testing Library; not run here",
            ),
        ),
        run_command="npm create vite@latest demo -- --template react-ts\n"
        f"cp {name}.tsx {name}.css {name}.test.tsx demo/src/\n"
        "cd demo && npm install && npm install -D vitest jsdom @testing-library/dom @testing-library/react && npm run dev",
        test_command=None,
        design=(
            "The component gets everything through typed props and reports back through a callback, so it fits any state library.",
            "Elements are found by role and label: by people who use a screen reader, and by the tests.",
            "There is no dependency beside React; the style sheet can be replaced without touching the component.",
        ),
        limitations=(_checked(problems), *_unmet(text)),
    )


def _checked(problems: list[str]) -> str:
    found = "and nothing was found" if not problems else f"and found: {'; '.join(problems)}"
    return f"No test was run: there is no JavaScript engine here. Brackets, tags and the export were checked structurally, {found}."


def _unmet(text: str) -> tuple[str, ...]:
    return (
        ("You asked for JavaScript; this is TypeScript, because the types document the props.",)
        if _PLAIN_JAVASCRIPT.search(text)
        else ()
    )


def _read_kind(text: str) -> ComponentKind:
    return next((kind for kind, pattern in _KINDS if pattern.search(text)), "card")


def _counter() -> Entity:
    return Entity("counter", (Field("start", "integer"), Field("step", "integer")), is_named=True, has_own_fields=True)


def _entity_of(text: str, kind: ComponentKind) -> Entity:
    if kind == "form" and re.search(r"\blog ?in\b|\bsign ?in\b", text):
        return _with_usual_fields(read_entity(text), "login", ("email", "password"))
    if kind == "form" and re.search(r"\bsign[ -]?up\b|\bregist", text):
        return _with_usual_fields(read_entity(text), "sign_up", ("name", "email", "password"))
    entity = read_entity(text)
    if (
        not entity.is_named
        and (named := re.search(r"\b([a-z]+)[ -](?:card|form|list|table|component)\b", text))
        and named[1] not in _NOT_A_THING
    ):
        return read_entity(f"{text}. api for {named[1]}")
    return entity


def _with_usual_fields(entity: Entity, name: str, usual: tuple[str, ...]) -> Entity:
    fields = (
        entity.fields
        if entity.has_own_fields
        else tuple(Field(field, "email" if field == "email" else "text") for field in usual)
    )
    return Entity(name, fields, is_named=True, has_own_fields=entity.has_own_fields)


_NOT_A_THING = {
    "react",
    "a",
    "the",
    "simple",
    "typescript",
    "javascript",
    "reusable",
    "small",
    "tsx",
    "jsx",
    "functional",
    "my",
    "basic",
    "responsive",
}


def _component_name(entity: Entity, kind: ComponentKind) -> str:
    base = class_name(entity.name)
    return base if kind == "counter" or base.lower().endswith(kind) else f"{base}{kind.capitalize()}"


def _values(entity: Entity, name: str) -> dict[str, str]:
    label = entity.name.strip("_").replace("_", " ")
    fields = [(_prop(field), field) for field in entity.fields]
    first = fields[0][0]
    return {
        "Name": name,
        "Item": "Entry" if class_name(entity.name) == name else class_name(entity.name),
        "label": label,
        "labels": plural(entity.name).replace("_", " "),
        "Labels": plural(entity.name).replace("_", " ").capitalize(),
        "first": first,
        "First": _label(entity.fields[0]),
        "types": "\n".join(f"  {prop}: {_TS_TYPES[field.kind]};" for prop, field in fields),
        "names": ", ".join(prop for prop, _ in fields),
        "rows": "\n".join(
            f"        <dt>{_label(field)}</dt>\n        <dd>{{{_shown(prop, field)}}}</dd>"
            for prop, field in fields[1:]
        ),
        "headings": "\n".join(f'          <th scope="col">{_label(field)}</th>' for _, field in fields),
        "cells": "\n".join(f"            <td>{{{_shown(f'item.{prop}', field)}}}</td>" for prop, field in fields),
        "first_shown": _shown(first, entity.fields[0]),
        "inputs": "\n".join(_input(prop, field) for prop, field in fields),
        "empty": ", ".join(f"{prop}: {_empty(field)}" for prop, field in fields),
        "sample": ", ".join(f"{prop}: {_sample(field)}" for prop, field in fields),
        "first_text": _sample_text(entity.fields[0]),
        "required": " || ".join(
            f"!String(values.{prop}).trim()" for prop, field in fields if field.is_required and field.kind != "flag"
        )
        or "false",
    }


def _prop(field: Field) -> str:
    """`release_year` gives `releaseYear`."""
    head, *rest = field.name.strip("_").split("_")
    name = head + "".join(part.capitalize() for part in rest)
    return f"{name}Value" if name in _RESERVED_PROPS else name


def _label(field: Field) -> str:
    return field.name.strip("_").replace("_", " ").capitalize()


def _shown(value: str, field: Field) -> str:
    return f'{value} ? "yes" : "no"' if field.kind == "flag" else value


def _empty(field: Field) -> str:
    return {"flag": "false", "integer": "0", "number": "0"}.get(field.kind, '""')


def _sample(field: Field) -> str:
    return _SAMPLES.get(field.kind, f'"Some {_label(field).lower()}"')


def _sample_text(field: Field) -> str:
    return "yes" if field.kind == "flag" else _sample(field).strip('"')


def _input(prop: str, field: Field) -> str:
    kind = "password" if "password" in field.name else _INPUT_TYPES[field.kind]
    value = f"checked={{values.{prop}}}" if field.kind == "flag" else f"value={{values.{prop}}}"
    read = {
        "flag": "event.target.checked",
        "integer": "event.target.valueAsNumber",
        "number": "event.target.valueAsNumber",
    }.get(field.kind, "event.target.value")
    return (
        "      <label>\n"
        f"        {_label(field)}\n"
        f'        <input type="{kind}" {value} onChange={{(event) => set("{prop}", {read})}} />\n'
        "      </label>"
    )


_SOURCES: dict[ComponentKind, str] = {"card": CARD, "form": FORM, "list": LIST, "counter": COUNTER}
_TESTS: dict[ComponentKind, str] = {"card": TEST_CARD, "form": TEST_FORM, "list": TEST_LIST, "counter": TEST_COUNTER}
_SUMMARIES: dict[ComponentKind, Callable[[Entity], str]] = {
    "card": lambda entity: (
        f"A React component that shows one {entity.name.replace('_', ' ')} as a card: {_field_names(entity)}."
    ),
    "form": lambda entity: (
        f"A React form for {_field_names(entity)} that checks what is required and hands the values to a callback."
    ),
    "list": lambda entity: (
        f"A React component that shows {entity.plural.replace('_', ' ')} as a table ({_field_names(entity)}) with a search box."
    ),
    "counter": lambda entity: "A React counter with buttons to count up, count down and reset.",
}


def _field_names(entity: Entity) -> str:
    return ", ".join(_label(field).lower() for field in entity.fields)


TEMPLATE = TemplateEntry("react", match, build)
