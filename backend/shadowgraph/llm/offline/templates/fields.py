"""Reads a list of fields with their types from prose: "with title, author and year (int)"."""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from shadowgraph.llm.offline.names import identifier, words

FieldKind = Literal["text", "integer", "number", "flag", "date", "email"]

MAX_FIELDS = 12
MAX_STARTS = 40
"""Words such as `with` that are looked at; reading stays linear in the length of a request."""
_READ_AHEAD = 600
"""Characters after a word such as `with` in which a list is looked for."""
_FIELDS_START = re.compile(
    r"(?:\b(?:with|having|have|has|contains?|containing|includ(?:e|es|ing)|whose|show(?:s|ing)?|takes?|accepts?|fields?|columns?|attributes?|properties|props?"
    r"|mit|con|avec|feldern?|campos?|champs?)\b\s*(?:are|sind|is)?|[:(])"
)
_FIELDS_NOISE = re.compile(
    r"^[\s:(,-]*(?:(?:the|these|following|fields?|columns?|attributes?|properties|props?|named|called|like|such as|are|is|at least|of|its|their"
    r"|für|den|die|das|feldern?|los|las|campos?|les|champs?)\b[\s:(]*)*"
)
_FIELDS_END = re.compile(
    r"[.!?;\n)](?=\s|$|[A-Za-z])|\s+(?:using|in python|in typescript|that|which|stored|via|backed|so that|where|written|and (?:write|include|add|with|use|store|some|unit)"
    r"|with (?:unit )?tests|including tests|for (?:my|our|a|the)|from scratch|please|then)\b"
)
_SEPARATOR = re.compile(r"\s*(?:,|/|&|\||\u2022|\u3001|\n|\bas well as\b|\band\b|\bund\b|\bet\b|\bplus\b)\s*")
_SPANISH_AND = re.compile(r"\s+y\s+(?=\w{2})")
_ITEM_ARTICLE = re.compile(
    r"^(?:(?:a|an|the|its|their|his|her|each|every|with|also|ein|eine|einem|einer|un|una|une|le|la|el)\s+)+"
)
_ITEM_SUBJECT = re.compile(r"^[\w\s]{0,40}\b(?:have|has|having|with)\s+")
_PROSE = re.compile(r"\b(?:for|to|from|using|per|that|which|is|are|should|must|will|can)\b")
_OPTIONAL = re.compile(r"\boptional(?:ly)?\b|\bif (?:any|known)\b")
_NO_FIELDS = {
    *("tests", "test", "unit tests", "documentation", "docs", "docker", "sqlite", "authentication", "auth", "validation", "pagination", "fastapi", "flask"),
    *("error handling", "python", "swagger", "openapi", "crud", "crud operations", "endpoints", "logging", "search", "filtering", "sorting", "readme", "typescript"),
    *("create", "read", "update", "delete", "get", "post", "put", "patch", "list", "id", "hooks", "props", "styling", "css", "tailwind", "unittest", "pytest"),
    *("an api", "a database", "more", "etc", "so on", "stdlib", "standard library", "only the standard library", "children"),
}  # fmt: skip
_MAX_WORDS_OF_A_FIELD = 3

_KIND_WORDS: dict[str, FieldKind] = {
    **dict.fromkeys(("int", "integer", "ints", "ganzzahl", "entero", "entier", "whole"), "integer"),
    **dict.fromkeys(("float", "number", "decimal", "double", "numeric", "real", "money"), "number"),
    **dict.fromkeys(("bool", "boolean", "flag"), "flag"),
    **dict.fromkeys(("str", "string", "text", "varchar"), "text"),
    **dict.fromkeys(("date", "datetime", "timestamp"), "date"),
    "email": "email",
}
_TEXT_NUMBERS = {
    "phone",
    "serial",
    "account",
    "invoice",
    "order",
    "flight",
    "card",
    "license",
    "licence",
    "plate",
    "telephone",
    "mobile",
    "reference",
    "model",
}
_INTEGER_NAMES = {
    *("year", "count", "age", "quantity", "qty", "stock", "pages", "page", "rank", "level", "size", "votes", "likes", "views", "floor", "seats", "capacity"),
    *("mileage", "copies", "minutes", "hours", "days", "duration", "calories", "servings", "jahr", "anzahl", "alter", "seiten", "anio", "annee", "cantidad", "edad"),
    *("priority", "position", "points", "population", "rooms", "bedrooms", "episodes", "units", "number"),
}  # fmt: skip
_NUMBER_NAMES = {
    *("price", "cost", "amount", "salary", "weight", "height", "width", "length", "rating", "score", "rate", "balance", "total", "tax", "discount"),
    *("latitude", "longitude", "lat", "lng", "lon", "temperature", "percentage", "percent", "budget", "distance", "speed", "gpa", "fee", "wage", "revenue"),
    *("preis", "precio", "prix", "betrag", "gewicht", "gehalt"),
}  # fmt: skip
_FLAG_NAMES = {
    *("done", "completed", "complete", "active", "available", "published", "enabled", "archived", "read", "paid", "verified", "finished", "favorite"),
    *("favourite", "public", "visible", "erledigt", "aktiv", "fertig", "subscribed", "shipped", "approved", "closed", "resolved", "instock"),
}  # fmt: skip
_DATE_NAMES = {
    "date",
    "birthday",
    "birthdate",
    "dob",
    "deadline",
    "due",
    "datum",
    "fecha",
    "expiry",
    "anniversary",
    "released",
    "hired",
}
_SIGNED_NAMES = {
    "temperature",
    "latitude",
    "longitude",
    "lat",
    "lng",
    "lon",
    "balance",
    "floor",
    "level",
    "score",
    "points",
    "position",
}


@dataclass(frozen=True, slots=True)
class Field:
    name: str
    """A Python identifier."""
    kind: FieldKind
    is_required: bool = True

    @property
    def allows_negative(self) -> bool:
        return not _SIGNED_NAMES.isdisjoint(self.name.split("_"))


def read_fields(text: str) -> tuple[Field, ...]:
    """Of a request in lower case: the most plausible list of fields: of all places where one could start, the one with the most good items."""
    starts = list(_FIELDS_START.finditer(text))[:MAX_STARTS]
    lists = [_fields_at(text, found.end(), is_spanish=found[0].startswith("con")) for found in starts]
    return max(lists, key=len, default=())


def _fields_at(text: str, start: int, *, is_spanish: bool) -> tuple[Field, ...]:
    rest = _FIELDS_NOISE.sub("", text[start : start + _READ_AHEAD])
    listed = _close_parentheses(rest)
    if is_spanish:
        listed = _SPANISH_AND.sub(", ", listed)
    items = [item for item in _SEPARATOR.split(listed) if item]
    return parse_fields(items)


def _close_parentheses(text: str) -> str:
    """The list without type notes in parentheses torn apart: `year (int), price` stays whole, a closing one without partner ends it."""
    noted = re.sub(r"\s*\(([^(),]{1,20})\)", r": \1", text)
    return _FIELDS_END.split(noted, maxsplit=1)[0]


def parse_fields(items: Iterable[str]) -> tuple[Field, ...]:
    """Items up to the first that cannot be a field: what follows it is prose."""
    fields: dict[str, Field] = {}
    for item in items:
        subject_free = _ITEM_SUBJECT.sub("", item.strip(" \t\n.:;()[]{}\"'`"))
        cleaned = _ITEM_ARTICLE.sub("", subject_free)
        if cleaned in _NO_FIELDS:
            continue
        field = _parse_item(cleaned)
        if field is None:
            break
        fields.setdefault(field.name, field)
    return tuple(fields.values())[:MAX_FIELDS]


def _parse_item(item: str) -> Field | None:
    is_required = not _OPTIONAL.search(item)
    name_part, kind = _split_kind(_OPTIONAL.sub("", item))
    parts = words(name_part)
    if not parts or len(parts) > _MAX_WORDS_OF_A_FIELD or _PROSE.search(name_part):
        return None
    name = identifier(" ".join(parts), fallback="")
    return Field(name, kind or guess_kind(name.rstrip("_")), is_required) if name and name != "id" else None


def _split_kind(item: str) -> tuple[str, FieldKind | None]:
    """`year: int`, `year as integer`, `integer year`, `year integer`."""
    if noted := re.match(r"(.+?)\s*(?::|=|\bas (?:an?)?)\s*([a-z]+)", item):
        return noted[1], _KIND_WORDS.get(noted[2])
    parts = item.split()
    if len(parts) > 1 and parts[0] in _KIND_WORDS and parts[0] not in {"email", "date", "number"}:
        return " ".join(parts[1:]), _KIND_WORDS[parts[0]]
    if len(parts) > 1 and parts[-1] in {
        "int",
        "integer",
        "float",
        "bool",
        "boolean",
        "str",
        "string",
        "decimal",
        "flag",
    }:
        return " ".join(parts[:-1]), _KIND_WORDS[parts[-1]]
    return item, None


def guess_kind(name: str) -> FieldKind:
    """From the name of a field: the last telling word decides, `release_year` is a year."""
    parts = name.split("_")
    if parts[0] in {"is", "has", "was", "can"} or name in {"in_stock", "on_sale"}:
        return "flag"
    if parts[0] in {"num", "n"} or name.startswith("number_of_"):
        return "integer"
    if parts[-1] in {"at", "on"} and len(parts) > 1:
        return "date"
    if parts[-1] == "number" and not _TEXT_NUMBERS.isdisjoint(parts):
        return "text"
    if "email" in parts or parts[-1] == "mail":
        return "email"
    return _kind_of_word(parts[-1])


def _kind_of_word(word: str) -> FieldKind:
    kinds: tuple[tuple[set[str], FieldKind], ...] = (
        (_INTEGER_NAMES, "integer"),
        (_NUMBER_NAMES, "number"),
        (_FLAG_NAMES, "flag"),
        (_DATE_NAMES, "date"),
    )
    return next((kind for names, kind in kinds if word in names), "text")
