"""For a question or a greeting, where a program would be the wrong answer: one page that says what was asked and what is missing."""

from shadowgraph.llm.offline.templates.base import Program, SourceFile, TemplateEntry
from shadowgraph.llm.offline.templates.readme import quote


def match(text: str) -> int:
    del text  # the intent decides, not the words
    return 0


def build(request: str) -> Program:
    return Program(
        template="note",
        title="Answer",
        summary="The offline demo model follows rules and knows no facts, so it cannot answer this question itself.",
        files=(
            SourceFile(
                "ANSWER.md", _PAGE.format(request=quote(request) or "–"), "what was asked and why there is no answer"
            ),
        ),
        run_command="cat ANSWER.md",
        test_command=None,
        design=("No program is needed to answer a question.",),
        limitations=("A question about the world needs a real language model; set a provider's key to use one.",),
    )


_PAGE = """# Question

> {request}

The offline demo model is a set of rules, not a language model: it has no knowledge to answer from. Sources that a search found, if there
was one, are listed with the research notes of this run.
"""

TEMPLATE = TemplateEntry("note", match, build)
