"""A request, understood: what is to be made, in which manner, from which findings. Everything that an answer may say comes from here."""

import re
from dataclasses import dataclass, replace
from functools import lru_cache

from shadowgraph.llm.offline.findings import Findings, read_findings
from shadowgraph.llm.offline.messages import Conversation
from shadowgraph.llm.offline.noise import Noise
from shadowgraph.llm.offline.plan import Step, plan_program, plan_question
from shadowgraph.llm.offline.style import Style, read_style
from shadowgraph.llm.offline.templates.base import Program
from shadowgraph.llm.offline.templates.catalog import get_template
from shadowgraph.llm.offline.templates.readme import with_readme
from shadowgraph.llm.offline.templates.wishes import unmet_wishes
from shadowgraph.llm.offline.understanding import Understanding, understand
from shadowgraph.llm.offline.wording import Phrases, phrases_in

MAX_QUERY_WORDS = 12
_QUERY_FILLER = re.compile(
    r"^\s*(?:please |can you |could you |search (?:the web |online )?(?:for )?|look up |find out |research |tell me |explain |google )+",
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True)
class Task:
    conversation: Conversation
    understanding: Understanding
    style: Style
    phrases: Phrases
    program: Program
    plan: tuple[Step, ...]
    findings: Findings
    noise: Noise

    @property
    def request(self) -> str:
        return self.understanding.text

    @property
    def needs_search(self) -> bool:
        """A question about the world is searched for once; what was found (or could not be) ends the search."""
        return self.understanding.needs_search and not self.findings.has_search_result

    @property
    def search_query(self) -> str:
        return search_query(self.request)

    @property
    def is_finished_program(self) -> bool:
        return self.understanding.has_template

    @property
    def paths(self) -> tuple[str, ...]:
        """Files to name in an answer: those that were really written, when that is known."""
        return self.findings.paths or tuple(file.path for file in self.program.files)


def read_task(conversation: Conversation, noise: Noise) -> Task:
    style = read_style(instructions=conversation.instructions, request=conversation.request)
    understanding = understand(conversation.request)
    phrases = phrases_in(style.language)
    program = _vary(build_program(understanding, style), noise)
    return Task(
        conversation=conversation,
        understanding=understanding,
        style=style,
        phrases=phrases,
        program=program,
        plan=_plan(understanding, style, program, noise),
        findings=read_findings(conversation),
        noise=noise,
    )


@lru_cache(maxsize=64)
def build_program(understanding: Understanding, style: Style) -> Program:
    """The files of the template that fits, without what the style leaves out."""
    made = get_template(understanding.template).build(understanding.text)
    unmet = unmet_wishes(understanding.text, template=made.template) if understanding.has_template else ()
    program = replace(made, limitations=(*made.limitations, *unmet))
    if not style.wants_tests:
        program = _without_tests(program, style)
    if not style.wants_readme or understanding.template == "note":
        return program
    readme = with_readme(program, request=understanding.text, phrases=phrases_in(style.language))
    return replace(program, files=(*program.files, readme))


def search_query(request: str) -> str:
    words = _QUERY_FILLER.sub("", " ".join(request.split())).rstrip("?.! ").split(" ")
    return " ".join(words[:MAX_QUERY_WORDS])[:120].strip()


def _without_tests(program: Program, style: Style) -> Program:
    files = tuple(file for file in program.files if not file.is_test)
    left_out = phrases_in(style.language).no_tests_written
    return replace(program, files=files, test_command=None, limitations=(*program.limitations, left_out))


def _plan(understanding: Understanding, style: Style, program: Program, noise: Noise) -> tuple[Step, ...]:
    phrases = phrases_in(style.language)
    if understanding.template == "note":
        query = search_query(understanding.text) if understanding.needs_search else None
        return plan_question(query, phrases=phrases, max_steps=style.max_steps)
    return plan_program(program, phrases=phrases, max_steps=style.max_steps, is_terse=style.is_terse, noise=noise)


def _vary(program: Program, noise: Noise) -> Program:
    if noise.level <= 0:
        return program
    files = noise.order([noise.file(file) for file in program.files], "files")
    return replace(
        program,
        files=files,
        summary=noise.prose(program.summary, "summary"),
        design=noise.order(program.design, "design"),
    )
