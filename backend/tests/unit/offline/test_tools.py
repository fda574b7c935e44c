from typing import Any

import pytest

from shadowgraph.llm.offline.brain import Reply, reply

WEATHER = ("get_weather", "Get the weather at a location.", {"location": "string"})
TIME = ("get_time", "Get the local time in a city.", {"city": "string"})
SEARCH = ("web_search", "Search the web.", {"query": "string"})
ADD = ("add", "Add two numbers.", {"a": "integer", "b": "integer"})
FINISH = ("complete_task", "Call this when the work is done.", {"result": "string"})


def tool(name: str, description: str, arguments: dict[str, str]) -> dict[str, Any]:
    properties = {key: {"type": kind} for key, kind in arguments.items()}
    parameters = {"type": "object", "properties": properties, "required": list(properties)}
    return {"type": "function", "function": {"name": name, "description": description, "parameters": parameters}}


def ask(
    text: str, *tools: tuple[str, str, dict[str, str]], done: dict[str, str] | None = None, **options: Any
) -> Reply:
    """`done`: tools that were called in this turn, with their results."""
    chat: list[dict[str, Any]] = [{"role": "user", "content": text}]
    for number, (name, result) in enumerate((done or {}).items()):
        call = {"id": str(number), "type": "function", "function": {"name": name, "arguments": "{}"}}
        chat.append({"role": "assistant", "content": "", "tool_calls": [call]})
        chat.append({"role": "tool", "tool_call_id": str(number), "content": result})
    return reply(chat, tools=[tool(*definition) for definition in tools], **options)


def names(answer: Reply) -> list[str]:
    return [call.name for call in answer.tool_calls]


def test_a_tool_is_called_when_the_request_speaks_of_it() -> None:
    answer = ask("What is the weather in Graz?", WEATHER, ADD)

    assert names(answer) == ["get_weather"]
    assert answer.tool_calls[0].arguments == {"location": "Graz"}
    assert answer.text == ""


def test_several_tools_are_called_side_by_side_with_ids_of_their_own() -> None:
    answer = ask("What are the weather and the time in Graz?", WEATHER, TIME)

    assert names(answer) == ["get_weather", "get_time"]
    assert len({call.id for call in answer.tool_calls}) == 2


def test_side_by_side_can_be_switched_off() -> None:
    assert names(ask("What are the weather and the time in Graz?", WEATHER, TIME, is_parallel=False)) == ["get_weather"]


def test_no_tool_is_called_without_need() -> None:
    assert names(ask("Hello there", WEATHER, SEARCH)) == []
    assert names(ask("Build a snake game", WEATHER, SEARCH)) == []


def test_a_search_is_made_only_for_what_has_to_be_looked_up() -> None:
    answer = ask("Who won the cup in 2022?", SEARCH)

    assert answer.tool_calls[0].arguments == {"query": "Who won the cup in 2022"}


def test_a_tool_is_not_called_twice_and_its_result_is_cited() -> None:
    answer = ask("What is the weather in Graz?", WEATHER, done={"get_weather": "It is sunny in Graz."})

    assert names(answer) == []
    assert "It is sunny in Graz." in answer.text


def test_a_new_question_of_the_user_may_call_it_again() -> None:
    chat = [
        {"role": "user", "content": "What is the weather in Graz?"},
        {"role": "tool", "tool_call_id": "1", "name": "get_weather", "content": "sunny"},
        {"role": "assistant", "content": "sunny"},
        {"role": "user", "content": "And what is the weather in Wien?"},
    ]

    answer = reply(chat, tools=[tool(*WEATHER)])

    assert answer.tool_calls[0].arguments == {"location": "Wien"}


def test_a_search_that_failed_is_reported_and_not_repeated() -> None:
    answer = ask("Who won the cup?", SEARCH, done={"web_search": '{"available": false, "reason": "no network"}'})

    assert names(answer) == []
    assert "no network" in answer.text


def test_the_tool_that_ends_the_work_comes_last() -> None:
    request = "What is the weather in Graz?"

    assert names(ask(request, WEATHER, FINISH)) == ["get_weather"]
    assert names(ask(request, WEATHER, FINISH, done={"get_weather": "sunny"})) == ["complete_task"]
    assert names(ask(request, WEATHER, FINISH, done={"get_weather": "sunny", "complete_task": "ok"})) == []


@pytest.mark.parametrize(
    ("tool_choice", "expected"),
    [
        ("none", []),
        ("auto", ["get_weather"]),
        (None, ["get_weather"]),
        ("required", ["get_weather"]),
        ("any", ["get_weather"]),
        (True, ["get_weather"]),
        ("add", ["add"]),
        ({"type": "function", "function": {"name": "add"}}, ["add"]),
        ({"name": "add"}, ["add"]),
        ({"type": "auto"}, ["get_weather"]),
        ("no_such_tool", []),
    ],
)
def test_the_caller_decides_whether_tools_are_called(tool_choice: Any, expected: list[str]) -> None:
    assert names(ask("What is the weather in Graz?", ADD, WEATHER, tool_choice=tool_choice)) == expected


def test_when_a_tool_must_be_called_the_work_ends_after_all_have_been() -> None:
    done = {"get_weather": "sunny", "complete_task": "ok"}

    assert names(ask("Weather?", WEATHER, FINISH, tool_choice="required", done=done)) == ["complete_task"]


def test_a_tool_without_arguments_gets_none() -> None:
    nameless = {"type": "function", "function": {"name": "now"}}

    assert reply([{"role": "user", "content": "now?"}], tools=[nameless]).tool_calls[0].arguments == {}


def test_what_is_no_tool_is_left_out() -> None:
    assert reply([{"role": "user", "content": "hi"}], tools=[{}, {"type": "web_search"}], tool_choice="required").text


def test_the_same_chat_gives_the_same_call() -> None:
    assert ask("What is the weather in Graz?", WEATHER) == ask("What is the weather in Graz?", WEATHER)
