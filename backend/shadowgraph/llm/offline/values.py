"""Single values of a structured answer: a word, a flag, a number, a text. The name of the field decides, then the request, then the schema."""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, cast

from shadowgraph.core.json import Json
from shadowgraph.llm.offline import extract
from shadowgraph.llm.offline.answers import architecture, compose_answer, how_to_run, limitations, summarise
from shadowgraph.llm.offline.meaning import canonical, named_flag, preferred_words, snake_case
from shadowgraph.llm.offline.records import Record
from shadowgraph.llm.offline.roles import Role
from shadowgraph.llm.offline.schema_rules import Schema, fit_number, fit_text
from shadowgraph.llm.offline.task import Task

_SPEAKING = {
    "answer",
    "summary",
    "reasoning",
    "feedback",
    "limitations",
    "notes",
    "architecture",
    "how_to_run",
    "query",
    "request",
    "goal",
    "expression",
}
"""Names whose text is never a mere word quoted from the request."""
_PROSE = _SPEAKING | {"description", "title", "text", "acceptance", "key_points", "decisions", "risks", "purpose"}
_ALWAYS_READ = {"place", "url", "date", "email", "expression"}
"""Names whose value is read from the request, whatever it is about."""
_NEXT = re.compile(r"next|route|goto|agent|worker|speaker|destination|delegate|hand_?off")
_FINISH_WORDS = {"finish", "__end__", "end", "done", "stop", "complete", "final"}


@dataclass(frozen=True, slots=True)
class Spot:
    """Where in the answer a value stands."""

    name: str
    role: Role
    depth: int = 0
    record: Record | None = None
    """The thing that the surrounding object describes."""
    number_index: int = 0
    """Which of the numbers of an object this is."""
    text_index: int = 0

    def below(self, name: str, *, record: Record | None = None, number_index: int = 0, text_index: int = 0) -> "Spot":
        return replace(
            self, name=name, depth=self.depth + 1, record=record, number_index=number_index, text_index=text_index
        )


def choose_word(options: Sequence[Any], task: Task, spot: Spot) -> Json:
    """Of an enum: the next speaker that has not spoken, a word that says yes, one that the request names, the first."""
    words = [option for option in options if isinstance(option, str)]
    if not words:
        return cast(Json, options[0])
    if next_speaker := _next_speaker(words, task, spot):
        return next_speaker
    by_lower = {word.lower(): word for word in reversed(words)}
    preferred = (by_lower[word] for word in preferred_words(spot.name, task) if word in by_lower)
    request = task.request.lower()
    named = (word for word in words if len(word) > 2 and word.lower().replace("_", " ") in request)
    return next(preferred, None) or next(named, words[0])


def decide_flag(schema: Schema, task: Task, spot: Spot) -> bool:
    named = named_flag(spot.name, task)
    if named is not None:
        return named
    default = schema.get("default")
    return default if isinstance(default, bool) else True


def choose_number(schema: Schema, task: Task, spot: Spot, *, is_integer: bool) -> int | float:
    return fit_number(_guess_number(schema, task, spot), schema, is_integer=is_integer)


def write_text(schema: Schema, task: Task, spot: Spot) -> str:
    text = _known_text(task, spot)
    if text is None:
        text = _declared_text(schema) or _request_text(task, spot)
    return fit_text(vary(text, task, spot), schema)


def vary(text: str, task: Task, spot: Spot) -> str:
    """Noise for people's texts; names, paths and commands stay as they are."""
    return task.noise.prose(text, f"{spot.name}/{spot.text_index}") if canonical(spot.name) in _PROSE else text


def _next_speaker(words: Sequence[str], task: Task, spot: Spot) -> str | None:
    """For a supervisor's choice: everybody speaks once, then it is over. None when this is no such choice."""
    end = next((word for word in words if word.lower() in _FINISH_WORDS), None)
    if end is None or len(words) < 2 or not _NEXT.search(snake_case(spot.name)):
        return None
    speakers = task.conversation.speakers
    silent = [word for word in words if word != end and word.lower() not in speakers]
    # Somebody spoke but nobody knows who: going on might never end.
    is_over = not silent or (task.conversation.assistant_turns > 0 and not speakers)
    return end if is_over else silent[0]


def _guess_number(schema: Schema, task: Task, spot: Spot) -> float:
    name, default, highest = canonical(spot.name), schema.get("default"), schema.get("maximum")
    if name == "confidence":
        return 0.9 if task.is_finished_program else 0.2
    if name == "score" and isinstance(highest, int | float):
        return float(highest) * 0.8
    if assigned := extract.find_numbers(extract.find_assigned(task.request, spot.name) or ""):
        return assigned[0]
    numbers = extract.find_numbers(task.request)
    if isinstance(default, int | float) and spot.number_index >= len(numbers):
        return float(default)
    return numbers[min(spot.number_index, len(numbers) - 1)] if numbers else 1.0


def _known_text(task: Task, spot: Spot) -> str | None:
    name = canonical(spot.name)
    is_tool_argument = spot.role == "final" and name not in _SPEAKING
    if is_tool_argument and (given := _given_text(task, spot, name)):
        return given
    if is_tool_argument and not task.is_finished_program and name not in _ALWAYS_READ:
        return None
    writer = _TEXTS.get(name)
    text = writer(task, spot.role) if writer else None
    return text if text or name in {"query", "test_command"} else None


def _given_text(task: Task, spot: Spot, name: str) -> str | None:
    """What the request itself gives for this argument."""
    if assigned := extract.find_assigned(task.request, spot.name):
        return assigned
    if name == "name" and (named := extract.find_named(task.request)):
        return named
    quoted = extract.find_quoted(task.request)
    return quoted[min(spot.text_index, len(quoted) - 1)] if quoted and not task.is_finished_program else None


def _declared_text(schema: Schema) -> str | None:
    examples = schema.get("examples")
    declared = (schema.get("default"), examples[0] if isinstance(examples, list) and examples else None)
    return next((text for text in declared if isinstance(text, str) and text), None)


def _request_text(task: Task, spot: Spot) -> str:
    words = " ".join(task.request.split())[: extract.MAX_VALUE]
    return words or spot.name or "text"


_TEXTS: dict[str, Callable[[Task, Role], str | None]] = {
    "summary": summarise,
    "answer": lambda task, _: compose_answer(task),
    "description": summarise,
    "title": lambda task, _: task.program.title,
    "goal": lambda task, _: task.request if task.understanding.template == "note" else task.program.summary,
    "request": lambda task, _: task.request,
    "architecture": lambda task, _: architecture(task),
    "how_to_run": lambda task, _: how_to_run(task),
    "run_command": lambda task, _: task.program.run_command.splitlines()[0],
    "test_command": lambda task, _: task.program.test_command or "",
    "reasoning": lambda task, _: (
        f"Chosen by rules: the words of the request fit the template `{task.program.template}`."
    ),
    "feedback": lambda task, _: f"Nothing to object to, as far as rules can see. {task.phrases.synthetic}",
    "acceptance": lambda task, _: "; ".join(step.acceptance for step in task.plan),
    "query": lambda task, role: "" if role == "research" and not task.needs_search else task.search_query,
    "path": lambda task, _: task.program.files[0].path,
    "content": lambda task, _: task.program.files[0].content,
    "purpose": lambda task, _: task.program.summary,
    "language": lambda task, _: task.program.files[0].language,
    "notes": lambda task, _: " ".join(limitations(task)),
    "url": lambda task, _: (
        extract.find_url(task.request) or next((source.url for source in task.findings.sources), "https://example.org/")
    ),
    "place": lambda task, _: extract.find_place(task.request),
    "expression": lambda task, _: extract.find_expression(task.request),
    "date": lambda task, _: extract.find_date(task.request) or "2026-01-31",
    "email": lambda task, _: extract.find_email(task.request) or "someone@example.org",
    "name": lambda task, _: extract.find_named(task.request),
}
