"""Reads from a request what is managed and which fields it has: "an API for books with title, author and year"."""

import re
import unicodedata
from dataclasses import dataclass, replace

from shadowgraph.llm.offline.names import identifier, plural, singular, words
from shadowgraph.llm.offline.templates.fields import Field, parse_fields, read_fields

_ARTICLES = r"(?:my|our|your|a|an|the|all|some|each|every|simple|basic|small|new|own|different|various|der|die|das|den|von|los|las|el|la|les|le|des|de)"
_NOUN = r"((?:[^\W\d_][\w'-]*)(?:\s+[^\W\d_][\w'-]*){0,3})"
_END_OF_NOUN = re.compile(
    r"\s+(?:with|using|in|that|and|or|which|where|whose|having|has|have|for|via|on|by|to|from|as|at|is|are|each|it|should|must|including|containing|rest"
    r"|app|application|api|service|system|backend|server|database|db|mit|und|con|y|avec|et|qui)\b.*",
    re.DOTALL,
)
_CONTAINER = re.compile(
    r"^(?:library|list|collection|inventory|catalog(?:ue)?|database|set|table|store|number|kinds?) (?:of|for) (.+)$"
)
_MANAGE = (
    r"manag(?:e|es|ing)(?: of)?|management of|track(?:s|ing)?|stor(?:e|es|ing)|handl(?:e|es|ing)|organi[sz](?:e|es|ing)|catalog(?:ue|ues|uing|ing)"
    r"|keep(?:s|ing)? track of|maintain(?:s|ing)?|record(?:s|ing)|crud (?:for|of|on|operations (?:for|on))|verwaltung von|verwaltet|verwalten von"
    r"|gestionar|administrar|g[ée]rer|gestion d(?:e|es)"
)
_HOME = r"api|service|backend|app|application|server|system|crud|endpoints?|database|component|form|card|list|table"
_ENTITY_PATTERNS = (
    re.compile(rf"\b(?:{_ARTICLES}\s+)*{_NOUN}\s+(?:have|has|having)\b"),
    re.compile(rf"\b(?:{_MANAGE})\s+(?:{_ARTICLES}\s+)*{_NOUN}"),
    re.compile(rf"\b(?:{_HOME})\s+(?:for|of|about|für|para|pour|zur verwaltung von)\s+(?:{_ARTICLES}\s+)*{_NOUN}"),
    re.compile(
        rf"\b(?:{_ARTICLES}\s+)*{_NOUN}[\s-]+(?:management|tracking|tracker|inventory|catalog(?:ue)?|crud|manager|database|rest api|api|service|backend)\b"
    ),
)
_BULLET = re.compile(r"\s*\n\s*(?:[-*\u2022]|\d{1,2}[.)])\s+")
_NO_ENTITY = {
    *("api", "rest", "crud", "service", "backend", "app", "application", "server", "system", "endpoint", "web", "http", "json", "python"),
    *("fastapi", "flask", "django", "database", "data", "thing", "something", "build", "create", "write", "make", "simple", "full", "operation"),
    *("component", "react", "form", "card", "list", "table", "management", "i", "me", "it", "that", "please", "need", "want", "implement"),
    *("develop", "generate", "design", "a", "an", "the", "my", "small", "basic", "new", "test", "minimal", "microservice", "and", "with"),
    *("complete", "production", "ready", "nice", "clean", "state", "typescript", "javascript"),
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Entity:
    name: str
    """A Python identifier in the singular: `book`."""
    fields: tuple[Field, ...]
    is_named: bool
    """False: the request names no such thing and the name is our choice."""
    has_own_fields: bool
    """False: the request names no fields and these are our choice."""

    @property
    def plural(self) -> str:
        return plural(self.name)


_USUAL_FIELDS: dict[str, str] = {
    "book": "title, author, year",
    "movie": "title, director, year",
    "song": "title, artist, duration",
    "user": "name, email",
    "customer": "name, email, phone",
    "contact": "name, email, phone",
    "employee": "name, position title, salary",
    "student": "name, email, grade",
    "product": "name, price, stock",
    "item": "name, quantity",
    "order": "customer, total, paid",
    "task": "title, due date, done",
    "todo": "title, due date, done",
    "note": "title, body",
    "post": "title, body, published",
    "blog_post": "title, body, published",
    "recipe": "name, ingredients, minutes",
    "expense": "description, amount, date",
    "event": "name, date, place",
    "car": "brand, model, year",
}


def read_entity(request: str) -> Entity:
    text = _flatten(request.lower())
    name = _read_name(text)
    fields = read_fields(text)
    entity_name = name or "item"
    usual = parse_fields(_USUAL_FIELDS.get(entity_name, "name, description").split(", "))
    return Entity(
        entity_name, _with_a_required_one(fields or usual), is_named=name is not None, has_own_fields=bool(fields)
    )


def _flatten(text: str) -> str:
    """One line without pictures: bullet points become a list with commas, other line ends end a sentence."""
    worded = "".join(" " if unicodedata.category(char) in {"So", "Sk", "Cn"} else char for char in text)
    bulleted = _BULLET.sub(", ", worded)
    return " ".join(re.sub(r"\s*\n\s*", ". ", bulleted).split())


def _read_name(text: str) -> str | None:
    for pattern in _ENTITY_PATTERNS:
        for found in pattern.finditer(text):
            if name := _clean_noun(found[1]):
                return name
    return None


def _clean_noun(phrase: str) -> str | None:
    """The thing itself out of a phrase such as `a library of books with`."""
    noun = _END_OF_NOUN.sub("", f"{phrase} ").strip()
    if contained := _CONTAINER.match(noun):
        noun = contained[1]
    parts = [word for word in words(noun) if singular(word) not in _NO_ENTITY]
    if not parts or len(parts[-1]) < 2:
        return None
    return identifier(singular("_".join(parts[-2:])), fallback="item")


def _with_a_required_one(fields: tuple[Field, ...]) -> tuple[Field, ...]:
    """Something must be required, or an empty object would be valid."""
    if any(field.is_required for field in fields):
        return fields
    return (replace(fields[0], is_required=True), *fields[1:])
