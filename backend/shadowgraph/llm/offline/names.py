"""Words of a request as names in code. Nothing but lower-case ASCII letters, digits and single underscores comes out of here,
so that no request can smuggle code into a generated program."""

import keyword
import re
import unicodedata

MAX_NAME_LENGTH = 30
_UMLAUTS = str.maketrans({"ä": "ae", "ö": "oe", "ü": "ue", "ß": "ss", "ø": "o", "ñ": "ni", "æ": "ae", "œ": "oe"})
_IRREGULAR_PLURALS = {
    "person": "people",
    "child": "children",
    "man": "men",
    "woman": "women",
    "mouse": "mice",
    "foot": "feet",
    "leaf": "leaves",
    "shelf": "shelves",
    "life": "lives",
    "knife": "knives",
    "hero": "heroes",
    "potato": "potatoes",
    "quiz": "quizzes",
    "movie": "movies",
    "cookie": "cookies",
    "criterion": "criteria",
    "bus": "buses",
    "buch": "buecher",
    "kunde": "kunden",
    "aufgabe": "aufgaben",
    "produkt": "produkte",
    "rezept": "rezepte",
    "benutzer": "benutzer",
    "mitarbeiter": "mitarbeiter",
    "virus": "viruses",
    "status": "statuses",
    "campus": "campuses",
    "address": "addresses",
}
_IRREGULAR_SINGULARS = {plural: singular for singular, plural in _IRREGULAR_PLURALS.items()}
_IRREGULAR_SINGULARS |= {"buechern": "buch", "produkten": "produkt", "rezepten": "rezept"}
_UNCHANGED = {"series", "news", "species", "equipment", "data", "media", "sheep", "fish", "staff"}


def words(text: str) -> list[str]:
    """Lower-case ASCII words; accents are folded, other scripts are left out."""
    folded = unicodedata.normalize("NFKD", text.lower().translate(_UMLAUTS))
    plain = "".join(char for char in folded if not unicodedata.combining(char))
    return re.findall(r"[a-z0-9]+", plain)


def identifier(text: str, *, fallback: str) -> str:
    """A Python name in snake_case: `Publication year` gives `publication_year`."""
    name = "_".join(words(text))[:MAX_NAME_LENGTH].strip("_").lstrip("0123456789_")
    if not name:
        return fallback
    return f"{name}_" if keyword.iskeyword(name) else name


def class_name(name: str) -> str:
    """`blog_post` gives `BlogPost`."""
    joined = "".join(part.capitalize() for part in name.split("_") if part)
    return f"{joined}Item" if keyword.iskeyword(joined) or not joined else joined


def plural(name: str) -> str:
    """Of the last word of a snake_case name."""
    head, _, last = name.rstrip("_").rpartition("_")
    return f"{head}_{_plural_word(last)}" if head else _plural_word(last)


def singular(name: str) -> str:
    """Of the last word of a snake_case name."""
    head, _, last = name.rpartition("_")
    return f"{head}_{_singular_word(last)}" if head else _singular_word(last)


def _plural_word(word: str) -> str:
    if word in _UNCHANGED:
        return word
    if word in _IRREGULAR_PLURALS:
        return _IRREGULAR_PLURALS[word]
    if re.search(r"[^aeiou]y$", word):
        return f"{word[:-1]}ies"
    return f"{word}es" if word.endswith(("s", "x", "z", "ch", "sh")) else f"{word}s"


def _singular_word(word: str) -> str:
    if word in _UNCHANGED or word in _IRREGULAR_PLURALS:
        return word
    if word in _IRREGULAR_SINGULARS:
        return _IRREGULAR_SINGULARS[word]
    if word.endswith("ies") and len(word) > 4:
        return f"{word[:-3]}y"
    if re.search(r"(ss|x|ch|sh)es$", word):
        return word[:-2]
    return word[:-1] if word.endswith("s") and not word.endswith(("ss", "us", "is")) and len(word) > 2 else word
