"""The answer that the user reads: the model's text, and below it what was really found out."""

from typing import Any

from shadowgraph import chat_model
from shadowgraph.agents.messages import as_text, conversation
from shadowgraph.agents.state import Checks, PipelineState

MAX_LISTED_FILES = 20


async def finalizer(state: PipelineState) -> dict[str, Any]:
    task = conversation(
        "finalizer",
        "finalizer_task",
        request=state["query"],
        notes=as_text(_notes(state)),
        plan=as_text(state["plan"]),
        files=as_text(state["files"]),
        checks=as_text(state["checks"]),
    )
    answer = await chat_model("finalizer").ainvoke(task)
    return {"answer": "\n\n".join(filter(None, [answer.text.strip(), outcome(state)]))}


def _notes(state: PipelineState) -> dict[str, Any]:
    return {
        **state["notes"],
        "web": f"not everything could be looked up: {state['web']}" if state["web"] else "searched where needed",
    }


def outcome(state: PipelineState) -> str:
    """Stated by code and not by a model: files, checks, refusals and a missing web, each on a line of its own."""
    lines = [
        _files(state),
        _checks(state["checks"]),
        *(f"- not written: `{refusal['path']}`: {refusal['reason']}" for refusal in state["refused"]),
        f"- web: not everything could be looked up: {state['web']}" if state["web"] else "",
    ]
    return "\n".join(filter(None, lines))


def _files(state: PipelineState) -> str:
    paths = [f"`{file['path']}`" for file in state["files"]]
    more = f" and {len(paths) - MAX_LISTED_FILES} more" if len(paths) > MAX_LISTED_FILES else ""
    return f"- files: {', '.join(paths[:MAX_LISTED_FILES])}{more}" if paths else ""


def _checks(checks: Checks) -> str:
    return f"- {checks['summary']}" if checks["summary"] else ""
