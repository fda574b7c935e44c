"""The files. They are read from the model's text, checked, repaired at most once, and kept as artifacts."""

from collections.abc import Sequence
from typing import Any

from langchain_core.messages import BaseMessage

from shadowgraph import artifact, chat_model
from shadowgraph.agents.checks import check_files, nothing_to_check
from shadowgraph.agents.drafts import Draft, read_draft
from shadowgraph.agents.messages import as_text, conversation, filled
from shadowgraph.agents.state import Checks, PipelineState


class NoFiles(Exception):
    """The model was asked twice for files, and none could be read from its answers."""


async def coder(state: PipelineState) -> dict[str, Any]:
    if state["plan"]["kind"] == "answer":
        return {"files": [], "refused": [], "checks": nothing_to_check()}
    chat, draft = await write_files(_task(state))
    checks = await check_files(draft)
    if checks["status"] == "failed":
        draft = await repair(chat, draft, checks)
        checks = await check_files(draft)
    for file in draft.files.values():
        artifact(file.path, file.body)
    return {
        "files": [file.summarise() for file in draft.files.values()],
        "refused": list(draft.refused),
        "checks": checks,
    }


def _task(state: PipelineState) -> list[BaseMessage]:
    return conversation(
        "coder",
        "coder_task",
        request=state["query"],
        notes=as_text(state["notes"]),
        plan=as_text(state["plan"]),
        architecture=as_text(state["validation"]),
    )


async def write_files(task: Sequence[BaseMessage]) -> tuple[list[BaseMessage], Draft]:
    """The conversation so far and its files; asked once more when the first answer holds none.

    Errors: `NoFiles`.
    """
    chat, draft = await _answer(task)
    if not draft.files:
        chat, later = await _answer([*chat, filled("coder_no_files", problem=_why_no_files(draft))])
        draft = draft.changed_by(later)
    if not draft.files:
        raise NoFiles(f"the model's answers hold no usable file: {_why_no_files(draft)}")
    return chat, draft


async def repair(chat: Sequence[BaseMessage], draft: Draft, checks: Checks) -> Draft:
    problem = f"{checks['summary']}\n{checks['output']}"
    _, later = await _answer([*chat, filled("coder_repair", problem=problem)])
    return draft.changed_by(later)


async def _answer(chat: Sequence[BaseMessage]) -> tuple[list[BaseMessage], Draft]:
    answer = await chat_model("coder").ainvoke(list(chat))
    return [*chat, answer], await read_draft(answer.text)


def _why_no_files(draft: Draft) -> str:
    if draft.refused:
        return "\n".join(f"{refusal['path']}: {refusal['reason']}" for refusal in draft.refused)
    if draft.unnamed:
        return f"{draft.unnamed} fenced blocks carry no path"
    return "there is no fenced block in it"
