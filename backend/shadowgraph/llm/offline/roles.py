"""Which part of the work an answer belongs to, told from the prompt or from the names in a schema. No agent's name is known here."""

import re
from collections.abc import Iterable
from typing import Literal

Role = Literal["research", "plan", "review", "code", "final"]

_INTRODUCTION = re.compile(r"\byou are (?:the |an? )?([^.:\n]{1,80})", re.IGNORECASE)
_PATTERNS: tuple[tuple[Role, re.Pattern[str]], ...] = (
    ("research", re.compile(r"\bresearch|\bnotes\b|\bgather", re.IGNORECASE)),
    ("plan", re.compile(r"\bplan(?:s|ner|ning)?\b|\bdecompos|\bproject manager\b", re.IGNORECASE)),
    ("review", re.compile(r"\breview|\bvalidat|\bexecutor\b|\barchitect|\bcritic|\bjudge\b|\bqa\b", re.IGNORECASE)),
    ("final", re.compile(r"\bfinal|\bsummari[sz]|\bsynthesi[sz]|\breport(?:er|s)?\b|\banswer the user\b", re.IGNORECASE)),
    ("code", re.compile(r"\bcod(?:e|er|ing)\b|\bdevelop|\bprogram|\bengineer\b|\bwrite (?:every|all|the) files?\b", re.IGNORECASE)),
)  # fmt: skip
_BY_FIELD: tuple[tuple[Role, frozenset[str]], ...] = (
    ("research", frozenset({"needs_search", "needs_research", "key_points", "facts", "findings", "queries", "search_query", "search_queries", "sources"})),
    ("review", frozenset({"approved", "is_approved", "issues", "problems", "verdict", "architecture", "architecture_notes", "is_valid", "valid"})),
    ("plan", frozenset({"steps", "plan", "tasks", "subtasks", "milestones"})),
    ("code", frozenset({"files", "code", "source_code", "patches"})),
)  # fmt: skip


def role_of_prompt(instructions: str) -> Role | None:
    """Who the prompt says the model is; None when it gives no such hint."""
    introduced = _INTRODUCTION.search(instructions)
    if introduced and (role := _first_role(introduced[1].split(" in a team")[0])):
        return role
    return _first_role(instructions[:600])


def role_of_fields(names: Iterable[str]) -> Role:
    found = frozenset(names)
    return next((role for role, telling in _BY_FIELD if telling & found), "final")


def _first_role(text: str) -> Role | None:
    places = [(found.start(), role) for role, pattern in _PATTERNS if (found := pattern.search(text))]
    return min(places)[1] if places else None
