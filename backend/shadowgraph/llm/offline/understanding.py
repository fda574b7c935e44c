"""What kind of request this is, and whether answering it needs knowledge from outside. Word lists, no learning."""

import re
from dataclasses import dataclass
from typing import Literal

from shadowgraph.llm.offline.templates.catalog import pick_template

Intent = Literal["build", "question", "greeting", "unknown"]

MAX_READ = 4_000
"""Characters of a request that are read for meaning; a longer request is still answered, from its beginning."""
_BUILD = re.compile(
    r"\b(?:build|create|write|make|implement|generate|code|develop|program|design|script|scaffold|add|need|want|give me"
    r"|baue?|erstelle|schreibe?|programmiere|entwickle|crea|crear|escribe|haz|construye|cr[ée]e[rz]?|[ée]cris|construis|fais)\b",
    re.IGNORECASE,
)
_POLITE_BUILD = re.compile(
    r"\s*(?:please\b|(?:can|could|would|will) you\b|how (?:do|can|would|should) (?:i|you|we)\b)", re.IGNORECASE
)
_QUESTION = re.compile(
    r"\s*(?:who|what|when|where|why|which|whose|how|is|are|was|were|do|does|did|has|have|should|tell me|explain|compare|find out"
    r"|research|summari[sz]e|wer|was|wann|wo|warum|welche[rs]?|wie|qui|que|quoi|quand|o[ùu]|pourquoi|comment|qui[ée]n|qu[ée]|cu[áa]ndo|d[óo]nde)\b",
    re.IGNORECASE,
)
_GREETING_WORDS = r"(?:hi|hello|hey|hallo|hola|bonjour|good (?:morning|evening|day)|how are you|thanks?|thank you|who are you|what can you do|there|world|everyone|all|you)"
_GREETING = re.compile(rf"\s*(?:{_GREETING_WORDS}\b[\s,.!?]*)+$", re.IGNORECASE)
_OTHERS_WORK = re.compile(
    r"\s*(?:please |can you |could you )?(?:fix|debug|refactor|review|optimi[sz]e|migrate|port|explain|translate|rewrite|improve|extend|update)\b",
    re.IGNORECASE,
)
"""Asks for a change to something that exists: a template would be something else."""
_ASKS_FOR_SEARCH = re.compile(
    r"\b(?:search (?:the web|online|for)|look (?:it )?up|google|browse|research|find out|latest|up[- ]to[- ]date|current news|newest version)\b",
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True)
class Understanding:
    text: str
    """The part of the request that was read."""
    intent: Intent
    template: str
    """Name of a template of `templates/catalog.py`; `skeleton` and `note` know nothing of the task."""
    needs_search: bool

    @property
    def has_template(self) -> bool:
        return self.template not in {"skeleton", "note"}


def understand(request: str) -> Understanding:
    text = request[:MAX_READ].strip()
    match = None if _OTHERS_WORK.match(text) else pick_template(text)
    intent = _read_intent(text, has_template=match is not None)
    if intent == "question":
        return Understanding(text, intent, "note", needs_search=True)
    if intent == "greeting":
        return Understanding(text, intent, "note", needs_search=False)
    template = match.name if match else "skeleton"
    return Understanding(text, intent, template, needs_search=bool(_ASKS_FOR_SEARCH.search(text)))


def _read_intent(text: str, *, has_template: bool) -> Intent:
    if not text:
        return "unknown"
    if _GREETING.match(text):
        return "greeting"
    if _asks(text) and not (_POLITE_BUILD.match(text) and (has_template or _BUILD.search(text))):
        return "question"
    return "build" if has_template or _BUILD.search(text) else "unknown"


def _asks(text: str) -> bool:
    return bool(_QUESTION.match(text)) or text.endswith("?")
