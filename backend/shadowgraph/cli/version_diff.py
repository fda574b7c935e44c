"""Versions and their differences, for people."""

from collections.abc import Iterable, Iterator
from typing import Any

from shadowgraph.cli.client import Json

SIGNS = {"added": "+", "removed": "-", "changed": "~"}
CONTEXT_CHARACTERS = 60
"""Of a text that is the same on both sides, before and after a change."""


def state_text(version: Json) -> str:
    marks = [mark for mark in ("withdrawn", "keep", "purged") if version[mark]]
    return ", ".join([version["state"], *marks])


def describe_diff(found: Json) -> Iterator[str]:
    if found["a"] == found["b"]:
        yield "nothing differs"
        return
    yield f"kinds     {', '.join(found['facets']) or 'none'}"
    yield f"needs     {found['requires']}"
    for node in found["nodes"]:
        yield f"{SIGNS[node['change']]} node {node['node']}: {', '.join(node['parts'])}"
    for file in found["files"]:
        yield f"{SIGNS[file['change']]} {file['path']} ({file['kind']})"
    yield from _graph(found["graph"])
    for what in ("parameters", "tools", "runtime"):
        for item in found[what]:
            yield f"~ {item['name']}.{item['key']}: {_value(item['before'])} -> {_value(item['after'])}"
    for prompt in found["prompts"]:
        yield ""
        yield f"{SIGNS[prompt['change']]} prompt {prompt['name']} ({prompt['path']})"
        yield mark_words(prompt["words"])


def _graph(graph: Json) -> Iterator[str]:
    for sign, what in (("+", "added"), ("-", "removed")):
        yield from (f"{sign} node {node}" for node in graph[f"nodes_{what}"])
        for edge in graph[f"edges_{what}"]:
            yield f"{sign} edge {edge['source']} -> {edge['target']}{' (conditional)' if edge['conditional'] else ''}"
    for schema in ("input_schema", "output_schema"):
        if graph[schema]:
            yield f"~ {schema.replace('_', ' ')}"


def mark_words(spans: Iterable[Json]) -> str:
    """`[-removed-]` and `{+added+}`, with as much around them as it takes to find the place."""
    marked = {"removed": "[-{}-]", "added": "{{+{}+}}"}
    return "".join(
        _shortened(span["text"]) if span["change"] == "same" else marked[span["change"]].format(span["text"])
        for span in spans
    ).rstrip("\n")


def _shortened(text: str) -> str:
    if len(text) <= 2 * CONTEXT_CHARACTERS:
        return text
    return f"{text[:CONTEXT_CHARACTERS]} … {text[-CONTEXT_CHARACTERS:]}"


def _value(value: Any) -> str:
    return "nothing" if value is None else str(value)
