"""The pipeline's surroundings for one test: what each agent answers, what the web and the sandbox say."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from importlib import resources
from pathlib import Path
from typing import Any

import orjson

from shadowgraph.core.calls import LlmRequest
from shadowgraph.core.json import JsonObject
from shadowgraph.tools.bubblewrap import Interpreter
from shadowgraph.tools.definitions import build_registry
from shadowgraph.tools.sandbox import DEFAULT_LIMITS, Limits, Sandbox, SandboxResult, SandboxStatus
from shadowgraph.tools.web_search import RawResults, WebSearch
from tests.support.ports import Answer, TestPorts

FENCE = "```"
NOTES: JsonObject = {"summary": "The user wants f.", "facts": [], "needs_search": False}
PLAN: JsonObject = {"kind": "build", "goal": "f works", "steps": [{"title": "Write f"}], "files": [{"path": "app.py"}]}
VALIDATION: JsonObject = {"approved": True, "architecture": "One function."}
NO_SANDBOX = SandboxStatus(available=False, reason="bubblewrap is not installed", fix="install the package bubblewrap")


def block(path: str, body: str, *, language: str = "python") -> str:
    return f"{FENCE}{language}:{path}\n{body}\n{FENCE}\n"


PROGRAM = block("app.py", '"""Gives one."""\n\n\ndef f():\n    return 1')
TEST = block("test_app.py", "import unittest")
FILES = PROGRAM + TEST

Answers = Mapping[str, Answer | Sequence[Answer]]


class ScriptedSandbox(Sandbox):
    """Says what a test wants to hear; nothing is run."""

    def __init__(self, *outcomes: JsonObject) -> None:
        super().__init__()
        self._outcomes = list(outcomes)
        self.files: list[Mapping[str, str]] = []

    async def status(self) -> SandboxStatus:
        return (
            SandboxStatus(available=True, interpreter=Interpreter("/usr/bin/python3")) if self._outcomes else NO_SANDBOX
        )

    async def run_python(
        self, arguments: Sequence[str], *, stdin: bytes = b"", limits: Limits = DEFAULT_LIMITS
    ) -> SandboxResult:
        self.files.append(orjson.loads(stdin))
        outcome = self._outcomes.pop(0) if len(self._outcomes) > 1 else self._outcomes[0]
        return SandboxResult(0, "exit", orjson.dumps(outcome), b"AssertionError: 2 != 1", 0.1)


PASSED: JsonObject = {"tests": 3, "failed": 0}
FAILED: JsonObject = {"tests": 3, "failed": 1}


def build_ports(answers: Answers, *, sandbox: Sandbox | None = None, web: RawResults | Exception = ()) -> TestPorts:
    """Each agent gives its answers in order; the last one stays."""
    given: dict[str, int] = defaultdict(int)

    def answer(request: LlmRequest) -> Answer:
        of_agent = answers[request.agent]
        if isinstance(of_agent, str | Mapping):
            return of_agent
        given[request.agent] += 1
        return of_agent[min(given[request.agent], len(of_agent)) - 1]

    def engine(query: str, max_results: int) -> RawResults:
        if isinstance(web, Exception):
            raise web
        return web

    registry = build_registry(sandbox=sandbox or ScriptedSandbox(PASSED), web=WebSearch(engine))
    return TestPorts(answer, registry=registry, project_dir=Path(str(resources.files("shadowgraph.agents"))))


def team(**changes: Any) -> dict[str, Any]:
    """Answers with which everything goes well."""
    return {
        "researcher": NOTES,
        "planner": PLAN,
        "executor": VALIDATION,
        "coder": FILES,
        "finalizer": "Here is f.",
        **changes,
    }
