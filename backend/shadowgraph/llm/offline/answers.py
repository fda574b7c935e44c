"""Text answers. Each ends with the line that says who is speaking."""

import re
from collections.abc import Callable

from shadowgraph.llm.offline.roles import Role, role_of_prompt
from shadowgraph.llm.offline.task import Task
from shadowgraph.llm.offline.templates.base import SourceFile

MAX_NAMED_POINTS = 4


def compose_answer(task: Task) -> str:
    """An answer in plain text, fitting the part of the work that the prompt assigns."""
    body = _compose_body(task, role_of_prompt(task.conversation.instructions))
    return f"{body}\n\n{task.phrases.label}" if body else task.phrases.label


def summarise(task: Task, role: Role) -> str:
    """A few sentences without the last line: for a field of a structured answer."""
    if task.understanding.template == "note":
        return _note_body(task)
    if role == "final":
        return " ".join(filter(None, [_opening(task), task.program.summary, _outcome(task)]))
    return task.program.summary if task.is_finished_program else f"{task.phrases.unfinished} {task.program.summary}"


def how_to_run(task: Task) -> str:
    tests = task.program.test_command
    lines = [f"{task.phrases.run}: {_inline(task.program.run_command)}"]
    return "\n".join([*lines, f"{task.phrases.tests}: `{tests}`"] if tests else lines)


def architecture(task: Task) -> str:
    """Files with what each is for, then why it is cut like this."""
    if task.understanding.template == "note":
        return task.phrases.answer_why
    parts = "\n".join(f"- {file.path}: {file.purpose}" for file in task.program.files)
    reasons = " ".join(task.program.design)
    return f"{task.program.summary}\n{parts}\n{reasons}" if not task.style.is_terse else parts


def limitations(task: Task) -> list[str]:
    missing_web = task.phrases.no_web.format(reason=task.findings.unavailable) if task.findings.unavailable else ""
    return [line for line in (*task.program.limitations, missing_web, task.phrases.synthetic) if line]


def fenced(file: SourceFile) -> str:
    """A file as a fenced block that its own content cannot close."""
    longest = max((len(run) for run in re.findall(r"`{3,}", file.content)), default=2)
    fence = "`" * (longest + 1)
    return f"{fence}{file.language}:{file.path}\n{file.content}{fence}"


def _compose_body(task: Task, role: Role | None) -> str:
    if task.understanding.intent == "greeting":
        return task.phrases.hello
    if task.understanding.template == "note" or task.conversation.results:
        return _note_body(task)
    wants_files = task.style.wants_fenced_files or role in {"code", None}
    return _files_body(task) if wants_files and role != "final" else _BODIES[role or "final"](task)


def _note_body(task: Task) -> str:
    """What tools found, cited; else that nothing is known."""
    cited = [f"- {source.text or source.title} ({source.title}: {source.url})" for source in task.findings.sources]
    results = [task.phrases.found.format(text=text) for text in task.findings.results]
    no_web = task.phrases.no_web.format(reason=task.findings.unavailable) if task.findings.unavailable else ""
    if cited:
        return _paragraphs(f"{task.phrases.sources}:\n" + "\n".join(cited), *results, no_web)
    if task.understanding.intent == "greeting":
        return task.phrases.hello
    return _paragraphs(*results, no_web) if results else _paragraphs(task.phrases.cannot_answer, no_web)


def _files_body(task: Task) -> str:
    return _paragraphs(_opening(task), *(fenced(file) for file in task.program.files))


def _research_body(task: Task) -> str:
    points = task.program.design[: 1 if task.style.is_terse else MAX_NAMED_POINTS]
    return _paragraphs(task.program.summary, f"{task.phrases.findings}:\n" + _bullets(points))


def _plan_body(task: Task) -> str:
    steps = (
        f"{number}. {step.title}" + ("" if task.style.is_terse else f": {step.description}")
        for number, step in enumerate(task.plan, 1)
    )
    return _paragraphs(f"{task.phrases.plan}:", "\n".join(steps))


def _review_body(task: Task) -> str:
    return _paragraphs(f"{task.phrases.design}:", architecture(task))


def _final_body(task: Task) -> str:
    if task.style.is_terse:
        return f"{_opening(task)} {how_to_run(task)}"
    files = "\n".join(f"- `{path}`" + _purpose(task, path) for path in task.paths)
    limits = task.noise.order(task.program.limitations, "final/limits")
    return _paragraphs(
        f"{_opening(task)} {task.program.summary}",
        f"## {task.phrases.files}\n\n{files}",
        f"## {task.phrases.run}\n\n" + _block(task.program.run_command),
        _tests_section(task),
        f"## {task.phrases.limits}\n\n{_bullets(limits)}" if limits else "",
    )


def _tests_section(task: Task) -> str:
    if not task.program.test_command:
        return f"## {task.phrases.tests}\n\n{task.phrases.no_tests_run}" if task.style.wants_tests else ""
    return _paragraphs(f"## {task.phrases.tests}", _block(task.program.test_command), _outcome(task))


def _opening(task: Task) -> str:
    if not task.is_finished_program:
        return task.phrases.unfinished
    return task.noise.prose(task.phrases.built.format(title=task.program.title), "opening")


def _outcome(task: Task) -> str:
    return task.phrases.test_outcome.format(text=task.findings.test_outcome) if task.findings.test_outcome else ""


def _purpose(task: Task, path: str) -> str:
    return next((f": {file.purpose}" for file in task.program.files if file.path == path), "")


def _inline(commands: str) -> str:
    return ", ".join(f"`{line}`" for line in commands.splitlines())


def _block(commands: str) -> str:
    return f"```sh\n{commands}\n```"


def _bullets(lines: tuple[str, ...]) -> str:
    return "\n".join(f"- {line}" for line in lines)


def _paragraphs(*parts: str) -> str:
    return "\n\n".join(part for part in parts if part)


_BODIES: dict[Role, Callable[[Task], str]] = {
    "research": _research_body,
    "plan": _plan_body,
    "review": _review_body,
    "code": _files_body,
    "final": _final_body,
}
