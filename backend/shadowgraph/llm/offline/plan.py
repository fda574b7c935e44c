"""The plan for a program or a question, in the language of the prompt and in no more steps than it allows."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from shadowgraph.llm.offline.noise import Noise
from shadowgraph.llm.offline.templates.base import Program
from shadowgraph.llm.offline.wording import Phrases


@dataclass(frozen=True, slots=True)
class Step:
    title: str
    description: str
    acceptance: str
    files: tuple[str, ...] = ()


def plan_program(
    program: Program, *, phrases: Phrases, max_steps: int | None, is_terse: bool, noise: Noise
) -> tuple[Step, ...]:
    """One step per file, framed by the questions before and after; a terse plan has the files only."""
    writing = tuple(
        Step(
            phrases.write.format(path=file.path),
            _sentence(file.purpose),
            phrases.write_done.format(path=file.path),
            (file.path,),
        )
        for file in program.files
    )
    before = Step(phrases.pin_down, phrases.pin_down_why.format(summary=program.summary), phrases.pin_down_done)
    testing = Step(
        phrases.run_tests, phrases.run_tests_why.format(command=program.test_command), phrases.run_tests_done
    )
    after = Step(phrases.explain, phrases.explain_why, phrases.explain_done)
    tests = (testing,) if program.test_command else ()
    explaining = () if noise.happens(0.5, "plan/explain") else (after,)
    steps = (*writing, *tests) if is_terse else (before, *writing, *tests, *explaining)
    worded = [
        replace(step, description=noise.prose(step.description, f"plan/{index}")) for index, step in enumerate(steps)
    ]
    return shorten_plan(worded, max_steps)


def plan_question(query: str | None, *, phrases: Phrases, max_steps: int | None) -> tuple[Step, ...]:
    """`query` is None when there is nothing to look up."""
    looking = Step(phrases.look_up, phrases.look_up_why.format(query=query), phrases.look_up_done)
    answering = Step(phrases.answer, phrases.answer_why, phrases.answer_done)
    return shorten_plan((answering,) if query is None else (looking, answering), max_steps)


def shorten_plan(steps: Sequence[Step], max_steps: int | None) -> tuple[Step, ...]:
    """At most `max_steps` steps that do the same work: neighbours are joined, nothing is dropped."""
    if max_steps is None or len(steps) <= max_steps:
        return tuple(steps)
    size, larger = divmod(len(steps), max_steps)
    groups, start = [], 0
    for index in range(max_steps):
        end = start + size + (index < larger)
        groups.append(_join(steps[start:end]))
        start = end
    return tuple(groups)


def _join(steps: Sequence[Step]) -> Step:
    return Step(
        title="; ".join(step.title for step in steps),
        description=" ".join(_sentence(step.description) for step in steps),
        acceptance="; ".join(step.acceptance for step in steps),
        files=tuple(path for step in steps for path in step.files),
    )


def _sentence(text: str) -> str:
    return f"{text[:1].upper()}{text[1:]}" + ("" if text.endswith((".", "!", "?")) else ".")
