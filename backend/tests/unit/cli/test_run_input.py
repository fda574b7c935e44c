"""Where a text goes when a workflow is given nothing else."""

from typing import Any

import pytest

from shadowgraph.cli.problem import CommandFailed
from shadowgraph.cli.run_input import input_of_text

TEXT, NUMBER = {"type": "string"}, {"type": "integer"}
MESSAGE = {"messages": [{"role": "user", "content": "hello"}]}


def schema(*required: str, **properties: Any) -> dict[str, Any]:
    return {"type": "object", "properties": properties, **({"required": list(required)} if required else {})}


@pytest.mark.parametrize(
    ("described", "expected"),
    [
        (schema(messages={}), MESSAGE),
        (schema(messages={}, topic=TEXT), MESSAGE),
        (schema(topic=TEXT), {"topic": "hello"}),
        (schema(topic={"anyOf": [TEXT, {"type": "null"}]}), {"topic": "hello"}),
        (schema(topic=TEXT, rounds=NUMBER), {"topic": "hello"}),
        (schema("topic", topic=TEXT, style=TEXT), {"topic": "hello"}),
    ],
)
def test_a_text_goes_where_it_can_only_be_meant_for(described: dict[str, Any], expected: dict[str, Any]) -> None:
    assert input_of_text("hello", "trip", described) == expected


@pytest.mark.parametrize(
    ("described", "said"),
    [
        (schema(place=TEXT, weather=TEXT), "trip takes place, weather:"),
        (schema("place", "days", place=TEXT, days=NUMBER), "trip takes place, days:"),
        (schema("days", place=TEXT, days=NUMBER), "trip takes days:"),
        (schema(picture={"type": "string", "format": "binary"}), "trip takes picture:"),
        (schema(), "trip does not say where it takes a text"),
        ({}, "trip does not say where it takes a text"),
    ],
)
def test_a_text_that_could_be_meant_for_several_keys_or_none_is_refused(described: dict[str, Any], said: str) -> None:
    with pytest.raises(CommandFailed) as refused:
        input_of_text("hello", "trip", described)

    assert refused.value.problem["detail"].startswith(said)
    assert "--input '{" in refused.value.problem["hint"]
