"""What a list in a structured answer is filled with: the steps of the plan, the files, the sources, points and limits."""

from collections.abc import Callable, Mapping, Sequence

from shadowgraph.core.json import Json
from shadowgraph.llm.offline.answers import limitations
from shadowgraph.llm.offline.meaning import canonical
from shadowgraph.llm.offline.plan import Step
from shadowgraph.llm.offline.task import Task
from shadowgraph.llm.offline.templates.base import SourceFile

Record = Mapping[str, Json]
"""One thing that a list can hold, its facts by canonical name; `text` is the whole in one string."""


def named_records(name: str, task: Task) -> list[Record] | None:
    """What a list of this name should hold, or None."""
    maker = _LISTS.get(canonical(name))
    return maker(task) if maker else None


def file_record(file: SourceFile) -> Record:
    return {
        "text": file.path,
        "path": file.path,
        "name": file.path,
        "title": file.path,
        "content": file.content,
        "purpose": file.purpose,
        "description": file.purpose,
        "summary": file.purpose,
        "language": file.language,
    }


def file_records(task: Task) -> list[Record]:
    return [file_record(file) for file in task.program.files]


def _text_records(lines: Sequence[str]) -> list[Record]:
    return [{"text": line, "title": line, "description": line, "summary": line, "content": line, "name": line, "number": number} for number, line in enumerate(lines, 1)]  # fmt: skip


def _step_records(task: Task) -> list[Record]:
    return [_step_record(step, number) for number, step in enumerate(task.plan, start=1)]


def _step_record(step: Step, number: int) -> Record:
    return {
        "text": f"{step.title}: {step.description}",
        "title": step.title,
        "name": step.title,
        "description": step.description,
        "goal": step.title,
        "request": step.title,
        "purpose": step.description,
        "content": step.description,
        "summary": step.title,
        "acceptance": step.acceptance,
        "number": number,
        "depends_on": [number - 1] if number > 1 else [],
        "files": list(step.files),
        "path": step.files[0] if step.files else "",
    }


def _source_records(task: Task) -> list[Record]:
    return [
        {
            "text": f"{source.title}: {source.url}",
            "title": source.title,
            "name": source.title,
            "url": source.url,
            "snippet": source.text,
            "description": source.text,
            "summary": source.text,
            "content": source.text,
        }
        for source in task.findings.sources
    ]


def _key_points(task: Task) -> list[Record]:
    found = [f"{source.text or source.title} ({source.url})" for source in task.findings.sources]
    if found or task.findings.results:
        return _text_records([*found, *task.findings.results])
    if task.understanding.template == "note":
        return _text_records([task.phrases.cannot_answer] if task.understanding.intent == "question" else [])
    points = task.noise.order(task.program.design, "key_points")
    return _text_records(points[:2] if task.style.is_terse else points)


def _open_questions(task: Task) -> list[Record]:
    if task.is_finished_program:
        return _text_records([line for line in task.program.limitations if "request" in line])
    if task.understanding.template == "note":
        return _key_points(task) if task.understanding.needs_search and not task.findings.sources else []
    return _text_records([task.phrases.unfinished])


def _acceptances(task: Task) -> list[Record]:
    return _text_records([step.acceptance for step in task.plan])


def _queries(task: Task) -> list[Record]:
    return _text_records([task.search_query] if task.needs_search else [])


def _nothing(task: Task) -> list[Record]:
    del task  # rules find no faults in what rules have made
    return []


_LISTS: dict[str, Callable[[Task], list[Record]]] = {
    "steps": _step_records,
    "files": file_records,
    "sources": _source_records,
    "key_points": _key_points,
    "limitations": lambda task: _text_records(limitations(task)),
    "risks": lambda task: _text_records(task.program.limitations),
    "problems": _nothing,
    "open_questions": _open_questions,
    "decisions": lambda task: _text_records(task.noise.order(task.program.design, "decisions")),
    "queries": _queries,
    "requirements": lambda task: _text_records([task.program.summary]),
    "acceptance": _acceptances,
    "keywords": lambda task: _text_records([task.program.template]),
    "commands": lambda task: _text_records(task.program.run_command.splitlines()),
    "tests": lambda task: [file_record(file) for file in task.program.files if file.is_test],
    "dependencies": _nothing,
    "notes": lambda task: _text_records(limitations(task)),
}
