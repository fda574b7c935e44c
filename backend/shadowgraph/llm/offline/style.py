"""What a prompt asks of the manner of an answer. The offline model obeys these few wishes and no others, so that an edited prompt
makes a difference that can be foreseen."""

import re
from dataclasses import dataclass
from typing import Literal

Language = Literal["en", "de", "fr", "es"]

MAX_READ = 20_000
"""Characters of a prompt that are read for wishes of manner."""
_NUMBER_WORDS = {
    "one": 1,
    "two": 2,
    "three": 3,
    "four": 4,
    "five": 5,
    "six": 6,
    "seven": 7,
    "eight": 8,
    "nine": 9,
    "ten": 10,
}
_TERSE = re.compile(
    r"\bters(?:e|ely)\b|\b(?:be|answer|reply|respond|write|stay|keep (?:it|this|answers?|everything|your answers?)) "
    r"(?:as |very |extremely )?(?:brief|briefly|concise|concisely|short|to the point)\b|\b(?:in )?one sentence\b",
    re.IGNORECASE,
)
_NO_TESTS = re.compile(
    r"\bwithout (?:any )?(?:unit )?tests\b|\b(?:do not|don't|never|must not) (?:write|include|add|produce) (?:any )?(?:unit )?tests\b"
    r"|\b(?:skip|omit|leave out) (?:the |all |any )?(?:unit )?tests\b|\b(?:write|include|add|produce|with|and|but|,) no (?:unit )?tests\b"
    r"|^[ \t>*#-]{0,8}no (?:unit )?tests\b",
    re.IGNORECASE | re.MULTILINE,
)
_NO_README = re.compile(r"\b(?:no|without(?: a)?|skip the|omit the) readme\b", re.IGNORECASE)
_MAX_STEPS = re.compile(
    r"\b(?:at most|no more than|not more than|up to|maximum(?: of)?|max\.?|exactly|only|in) (\d{1,2}|"
    + "|".join(_NUMBER_WORDS)
    + r") (?:\w+ )?steps?\b",
    re.IGNORECASE,
)
_FENCED_FILES = re.compile(r"```\s?[\w<{]*:|fenced (?:code )?blocks?|lang(?:uage)?:path", re.IGNORECASE)
_LANGUAGES: dict[Language, re.Pattern[str]] = {
    "de": re.compile(
        r"\b(?:(?:in|into|auf) (?:german|deutsch)|language ?[:=] ?(?:german|deutsch|de))\b", re.IGNORECASE
    ),
    "fr": re.compile(
        r"\b(?:(?:in|into|en) (?:french|fran[çc]ais)|language ?[:=] ?(?:french|fran[çc]ais|fr))\b", re.IGNORECASE
    ),
    "es": re.compile(
        r"\b(?:(?:in|into|en) (?:spanish|espa[ñn]ol)|language ?[:=] ?(?:spanish|espa[ñn]ol|es))\b", re.IGNORECASE
    ),
}
_HEADINGS_IN = re.compile(r"\b(german|french|spanish) (?:headings?|answers?|text|language)\b", re.IGNORECASE)
_BY_ENGLISH_NAME: dict[str, Language] = {"german": "de", "french": "fr", "spanish": "es"}


@dataclass(frozen=True, slots=True)
class Style:
    is_terse: bool = False
    wants_tests: bool = True
    wants_readme: bool = True
    max_steps: int | None = None
    language: Language = "en"
    wants_fenced_files: bool = False
    """The prompt asks for files as fenced blocks in plain text."""


def read_style(*, instructions: str, request: str) -> Style:
    """Instructions decide; of the request only what is unmistakable counts (a request for "a short story" asks for no short answer)."""
    instructions = instructions[:MAX_READ]
    both = f"{instructions}\n{request[:MAX_READ]}"
    is_terse = bool(_TERSE.search(instructions))
    return Style(
        is_terse=is_terse,
        wants_tests=not _NO_TESTS.search(both),
        wants_readme=not (is_terse or _NO_README.search(both)),
        max_steps=_read_max_steps(both),
        language=_read_language(both),
        wants_fenced_files=bool(_FENCED_FILES.search(instructions)),
    )


def _read_max_steps(text: str) -> int | None:
    found = _MAX_STEPS.search(text)
    if not found:
        return None
    number = found[1].lower()
    return max(1, _NUMBER_WORDS[number] if number in _NUMBER_WORDS else int(number))


def _read_language(text: str) -> Language:
    if found := _HEADINGS_IN.search(text):
        return _BY_ENGLISH_NAME[found[1].lower()]
    return next((language for language, pattern in _LANGUAGES.items() if pattern.search(text)), "en")
