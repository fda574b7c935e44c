"""`routes …` over HTTP."""

import json
from typing import Any

import pytest

from tests.integration.cli.conftest import Terminal
from tests.support.fake_api import FakeApi

GROQ = "groq:openai/gpt-oss-120b"
LOCAL = "openai_compatible:llama3"


def target(model: str, **changes: Any) -> dict[str, Any]:
    facts = {"first_token_seconds": None, "total_seconds": None, "context_tokens": None, "missing": None}
    return {"model": model, "set_up": True, "breaker": "closed", **facts, **changes}


@pytest.fixture
def route(api: FakeApi) -> dict[str, Any]:
    route = {
        "name": "default",
        "number": 3,
        "targets": [target(GROQ, breaker="open"), target(LOCAL, set_up=False, missing="set OPENAI_API_KEY")],
        "when_no_key": "skip",
        "rate_limit": "30/minute",
        "answered_by": GROQ,
        "changed_at": None,
        "changed_by": None,
        "links": {},
    }
    api.scripted["GET", "/routes"] = {"items": [route], "next_cursor": None}
    api.scripted["GET", "/routes/default"] = route
    api.scripted["PUT", "/routes/default"] = route
    api.scripted["DELETE", "/routes/default"] = {"name": "default", "removed": True}
    return route


def test_routes_are_listed_with_what_answers(terminal: Terminal, route: dict[str, Any]) -> None:
    ended = terminal.run("routes", "list")

    assert ended.code == 0
    assert ended.out.splitlines()[1].split() == ["default", "3", GROQ, "30/minute", f"{GROQ}!,", f"[{LOCAL}]"]


def test_a_route_is_shown_with_what_its_targets_lack(terminal: Terminal, route: dict[str, Any]) -> None:
    ended = terminal.run("routes", "show", "default")

    assert "set OPENAI_API_KEY" in ended.out
    assert "open" in ended.out
    assert json.loads(terminal.run("routes", "show", "default", "--json").out) == route


def test_a_route_is_set_and_reset(terminal: Terminal, api: FakeApi, route: dict[str, Any]) -> None:
    changed = terminal.run("routes", "set", "default", GROQ, LOCAL, "--limit", "30/minute", "--json")
    removed = terminal.run("routes", "reset", "default", "--json")

    assert json.loads(changed.out) == route
    assert json.loads(removed.out) == {"name": "default", "removed": True}


def test_targets_are_tried_with_the_keys_of_this_machine(terminal: Terminal, route: dict[str, Any]) -> None:
    ended = terminal.run("routes", "test", "default", "--json")

    assert ended.code == 3
    assert [(trial["model"], trial["ok"]) for trial in json.loads(ended.out)["items"]] == [
        (GROQ, False),
        (LOCAL, False),
    ]
    assert "GROQ_API_KEY" in json.loads(ended.out)["items"][0]["detail"]
