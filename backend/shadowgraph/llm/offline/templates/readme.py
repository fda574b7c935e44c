"""The README that goes with every program, in the language of the prompt. Code blocks are indented, not fenced: a file that is sent
inside a fence must not contain one."""

import textwrap

from shadowgraph.llm.offline.templates.base import Program, SourceFile
from shadowgraph.llm.offline.wording import Phrases

MAX_QUOTE = 400
"""Characters of the request that are quoted."""


def with_readme(program: Program, *, request: str, phrases: Phrases) -> SourceFile:
    return SourceFile("README.md", _readme_text(program, request=request, phrases=phrases), phrases.readme_purpose)


def quote(request: str) -> str:
    """One line, harmless inside Markdown."""
    flat = " ".join(request.split()).replace("`", "'").replace("<", "&lt;")
    return textwrap.shorten(flat, MAX_QUOTE, placeholder=" …") if len(flat) > MAX_QUOTE else flat


def _readme_text(program: Program, *, request: str, phrases: Phrases) -> str:
    blocks = [
        f"# {program.title}",
        program.summary,
        f"{phrases.request}: *{quote(request) or '–'}*",
        f"## {phrases.run}\n\n{_indented(program.run_command)}",
        f"## {phrases.tests}\n\n{_indented(program.test_command) if program.test_command else phrases.no_tests_run}",
        f"## {phrases.files}\n\n" + "\n".join(f"- `{file.path}`: {file.purpose}" for file in program.files),
        f"## {phrases.limits}\n\n" + "\n".join(f"- {line}" for line in (*program.limitations, phrases.synthetic)),
    ]
    return "\n\n".join(blocks) + "\n"


def _indented(commands: str) -> str:
    return textwrap.indent(commands, "    ")
