"""The built-in project's own prompts and schemas, answered by the offline model: what a user sees in the demo."""

import json
from importlib import resources
from string import Template
from typing import Any, TypeVar

import pytest
from langchain_core.utils.function_calling import convert_to_openai_tool
from pydantic import BaseModel

from shadowgraph.agents.schemas import Plan, ResearchNotes, Validation
from shadowgraph.llm.offline.brain import reply
from shadowgraph.llm.offline.style import Style, read_style
from shadowgraph.llm.offline.wording import EN

Answer = TypeVar("Answer", bound=BaseModel)
PROMPTS = resources.files("shadowgraph.agents") / "prompts"
REQUESTS = [
    "Build a snake game",
    "Build a REST API for managing books with title, author and year",
    "Write a function that checks palindromes",
    "React counter component",
    "Write a quantum chess engine",
]


def prompt(name: str, **values: str) -> str:
    return Template((PROMPTS / f"{name}.md").read_text(encoding="utf-8")).safe_substitute(values)


def chat(agent: str, **values: str) -> list[dict[str, Any]]:
    return [
        {"role": "system", "content": prompt(agent)},
        {"role": "user", "content": prompt(f"{agent}_task", **values)},
    ]


def structured(agent: str, schema: type[Answer], **values: str) -> Answer:
    tool = convert_to_openai_tool(schema)
    forced = {"type": "function", "function": {"name": tool["function"]["name"]}}
    answer = reply(chat(agent, **values), tools=[tool], tool_choice=forced)
    return schema.model_validate(answer.tool_calls[0].arguments)


@pytest.mark.parametrize("agent", ["researcher", "planner", "executor", "coder", "finalizer"])
def test_the_prompts_as_they_are_ask_for_no_special_manner(agent: str) -> None:
    style = read_style(instructions=prompt(agent), request="")

    assert style == Style(wants_fenced_files=agent == "coder")


@pytest.mark.parametrize("request_text", REQUESTS)
def test_the_plan_names_the_files_that_the_coder_writes(request_text: str) -> None:
    notes = structured("researcher", ResearchNotes, request=request_text)
    plan = structured("planner", Plan, request=request_text, notes=notes.model_dump_json())
    validation = structured("executor", Validation, request=request_text, plan=plan.model_dump_json())
    code = reply(chat("coder", request=request_text, plan=plan.model_dump_json())).text

    assert not notes.needs_search
    assert plan.kind == "build"
    assert plan.goal
    assert validation.approved
    assert validation.problems == []
    assert all(f":{file.path}\n" in code for file in plan.files)
    assert all(file.path in validation.architecture for file in plan.files)


def test_a_question_is_planned_as_an_answer_without_files() -> None:
    notes = structured("researcher", ResearchNotes, request="Who won the cup?")
    plan = structured("planner", Plan, request="Who won the cup?")

    assert notes.needs_search
    assert notes.queries == ["Who won the cup"]
    assert plan.kind == "answer"
    assert plan.files == []


def test_the_researcher_uses_what_was_found() -> None:
    results = json.dumps([{"title": "Cup", "url": "https://example.org/cup", "snippet": "Argentina won."}])
    found = [
        {"role": "system", "content": prompt("researcher")},
        {"role": "user", "content": prompt("researcher_found", request="Who won the cup?", results=results)},
    ]
    tool = convert_to_openai_tool(ResearchNotes)

    answer = reply(found, tools=[tool], tool_choice="ResearchNotes")
    notes = ResearchNotes.model_validate(answer.tool_calls[0].arguments)

    assert not notes.needs_search
    assert [source.url for source in notes.sources] == ["https://example.org/cup"]
    assert "Argentina won. (https://example.org/cup)" in notes.facts


def test_a_repair_gives_whole_files_again() -> None:
    conversation = [
        *chat("coder", request="Build a snake game"),
        {"role": "assistant", "content": "```python:game.py\nbroken\n```"},
        {"role": "user", "content": prompt("coder_repair", problem="tests: failed")},
    ]

    assert "```python:test_game.py" in reply(conversation).text


def test_the_final_answer_repeats_the_outcome_of_the_checks() -> None:
    checks = json.dumps({"status": "failed", "tests": 3, "summary": "tests: failed: 1 of 3"})
    files = json.dumps([{"path": "game.py"}])

    text = reply(chat("finalizer", request="Build a snake game", files=files, checks=checks)).text

    assert "tests: failed: 1 of 3" in text
    assert "- `game.py`" in text
    assert "play.py`:" not in text


def test_an_edited_prompt_makes_a_difference() -> None:
    plain = chat("planner", request="Build a snake game")
    edited = [{**plain[0], "content": f"{plain[0]['content']}\nUse at most 3 steps. Answer in German."}, plain[1]]
    tool = convert_to_openai_tool(Plan)

    plan = Plan.model_validate(reply(edited, tools=[tool], tool_choice="Plan").tool_calls[0].arguments)

    assert len(plan.steps) == 3
    assert plan.steps[0].title.startswith("Auftrag klären")


def test_a_request_that_no_template_fits_is_called_unfinished_throughout() -> None:
    request = "Write a quantum chess engine"

    notes = structured("researcher", ResearchNotes, request=request)
    text = reply(chat("finalizer", request=request)).text

    assert notes.summary.startswith(EN.unfinished)
    assert text.startswith(EN.unfinished)
