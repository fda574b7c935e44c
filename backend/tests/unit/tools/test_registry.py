import pytest

from shadowgraph.core.calls import Effect, ToolDescription
from shadowgraph.core.json import Json, JsonObject
from shadowgraph.tools.definitions import build_registry
from shadowgraph.tools.registry import InvalidArguments, InvalidTool, Tool, ToolContext, ToolRegistry, UnknownTool

PARAMETERS = {
    "type": "object",
    "properties": {"city": {"type": "string"}, "days": {"type": "integer", "minimum": 1}},
    "required": ["city"],
    "additionalProperties": False,
}


async def _forecast(arguments: JsonObject, context: ToolContext) -> Json:
    return "sunny"


def _tool(**changes: object) -> Tool:
    values: dict[str, object] = {"name": "forecast", "description": "The weather.", "parameters": PARAMETERS, **changes}
    return Tool(ToolDescription(**values), run=_forecast)  # type: ignore[arg-type]


def test_a_tool_without_a_declared_effect_counts_as_a_write() -> None:
    tool = _tool()

    assert tool.description.effect == "write"
    assert not tool.may_repeat


@pytest.mark.parametrize(
    ("effect", "idempotent", "may_repeat"),
    [
        ("pure", False, True),
        ("read", False, True),
        ("write", True, True),
        ("write", False, False),
        ("irreversible", True, False),
        ("irreversible", False, False),
    ],
)
def test_only_calls_that_change_nothing_twice_may_repeat(effect: Effect, idempotent: bool, may_repeat: bool) -> None:
    assert _tool(effect=effect, idempotent=idempotent).may_repeat is may_repeat


def test_a_name_used_twice_is_refused() -> None:
    registry = ToolRegistry([_tool()])

    with pytest.raises(InvalidTool, match="two tools have the name 'forecast'"):
        registry.add(_tool(description="Another one."))


def test_parameters_that_are_no_json_schema_are_refused() -> None:
    with pytest.raises(InvalidTool, match="no JSON schema"):
        ToolRegistry([_tool(parameters={"type": "objekt"})])


def test_an_unknown_name_is_answered_with_the_known_ones() -> None:
    registry = ToolRegistry([_tool()])

    with pytest.raises(UnknownTool) as caught:
        registry.require("forcast")

    assert caught.value.hint == "known tools: forecast"


@pytest.mark.parametrize(
    ("arguments", "pointer"),
    [({}, ""), ({"city": 3}, "/city"), ({"city": "Graz", "days": 0}, "/days"), ({"city": "Graz", "wind": 1}, "")],
)
def test_arguments_that_do_not_fit_are_refused_with_their_place(arguments: JsonObject, pointer: str) -> None:
    with pytest.raises(InvalidArguments) as caught:
        _tool().check(arguments)

    errors = caught.value.facts["errors"]
    assert isinstance(errors, list)
    assert errors[0]["pointer"] == pointer


def test_the_installation_has_the_three_tools_and_none_of_them_writes() -> None:
    registry = build_registry()

    assert registry.names() == ("parse_files", "run_python", "web_search")
    assert {registry.require(name).description.effect for name in registry.names()} == {"pure", "read"}
