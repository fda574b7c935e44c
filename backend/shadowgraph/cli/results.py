"""Which part of a finished run a person wants to read, and what comes next. Pure."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from shadowgraph.cli.answering import answer_command, question_text
from shadowgraph.cli.problem import Problem


def result_text(run: Mapping[str, Any]) -> str:
    """The answer or last message as text when the result has one, else the whole result as JSON."""
    result = run.get("result")
    text = _answer_in(result)
    return text if text is not None else json.dumps(result, indent=2, ensure_ascii=False)


def output_of(run: Mapping[str, Any]) -> Mapping[str, Any]:
    """The graph's output state, empty when it is no object."""
    result = run.get("result")
    inner = result.get("output", result) if isinstance(result, Mapping) else None
    return inner if isinstance(inner, Mapping) else {}


def _answer_in(result: Any) -> str | None:
    if isinstance(result, str):
        return result
    if not isinstance(result, Mapping):
        return None
    for name in ("answer", "text"):
        if isinstance(result.get(name), str):
            return str(result[name])
    return _answer_in(result["output"]) if "output" in result else _last_message_in(result.get("messages"))


def _last_message_in(messages: Any) -> str | None:
    if isinstance(messages, Sequence) and messages and isinstance(messages[-1], Mapping):
        content = messages[-1].get("content")
        return content if isinstance(content, str) else None
    return None


def run_problem(run: Mapping[str, Any]) -> Problem:
    """Why a run that is at rest has no result."""
    if error := run.get("error"):
        step = f" in {error['step']}" if error.get("step") else ""
        return {**error, "detail": f"the run {_stood(run)}{step}: {error.get('detail') or error.get('code')}"}
    if asked := run.get("interactions"):
        questions = "; ".join(question_text(item) for item in asked)
        return {"title": run["status"], "code": str(run["status"]).lower(), "detail": f"the run asks: {questions}"}
    reason = f" ({run['reason']})" if run.get("reason") else ""
    return {"title": run["status"], "code": str(run["status"]).lower(), "detail": f"the run is {run['status']}{reason}"}


def _stood(run: Mapping[str, Any]) -> str:
    return "stopped" if run["status"] == "BUDGET_EXCEEDED" else "FAILED"


def next_command(run: Mapping[str, Any]) -> str:
    """What a person does next about a run that is at rest."""
    asked = run.get("interactions")
    if run["status"] == "AWAITING_HUMAN" and asked:
        return answer_command(asked[0])
    if run["status"] == "BUDGET_EXCEEDED" and (budget_id := (run.get("error") or {}).get("budget_id")):
        return f"shadowgraph budgets set --id {budget_id} --limit USD, then: shadowgraph runs resume {run['id']}"
    verb = {"PAUSED": "resume"}.get(str(run["status"]), "show")
    return f"shadowgraph runs {verb} {run['id']}"
