"""Values for the arguments of ordinary tools, read from the words of a request."""

import re

MAX_VALUE = 120
_QUOTED = re.compile(
    r"\"([^\"\n]{1,200})\"|(?<!\w)'([^'\n]{1,200})'(?!\w)|“([^”\n]{1,200})”|`([^`\n]{1,200})`|「([^」\n]{1,200})」|«\s?([^»\n]{1,200}?)\s?»"
)
_NUMBER = re.compile(r"(?<![\w.])-?\d{1,15}(?:\.\d{1,15})?(?!\w|\.\d)")
"""Longer rows of digits are no quantities."""
_PLACE = re.compile(r"\b(?:in|at|near|from|to|for|of)\s+((?:[A-Z][\w.'-]*)(?:,?\s+[A-Z][\w.'-]*){0,4})")
_NAMED = re.compile(r"\b(?:named|called|name is|name:)\s+([^\"'“”,.;:!?()\n]{1,80})", re.IGNORECASE)
_URL = re.compile(r"https?://[^\s<>\"')\]}]+")
_EMAIL = re.compile(r"(?<![\w.+-])[\w.+-]{1,64}@[\w-]{1,63}(?:\.[\w-]{1,63}){1,6}")
_DATE = re.compile(r"\b\d{4}-\d{2}-\d{2}\b")
_EXPRESSION = re.compile(r"(?<![\w.(])\({0,8}-?\d[\d .()]{0,40}(?:(?:\*\*|[-+*/^%]) *[\d(][\d .()]{0,40}){1,20}")


def find_quoted(text: str) -> list[str]:
    return ["".join(groups) for groups in _QUOTED.findall(text)]


def find_numbers(text: str) -> list[float]:
    return [float(number) for number in _NUMBER.findall(text)]


def find_named(text: str) -> str | None:
    """`a customer named Ada` gives `Ada`."""
    quoted = re.search(r"\b(?:named|called|name is|name:)\s+[\"'“`](.{1,200}?)[\"'”`]", text, re.IGNORECASE)
    if quoted:
        return quoted[1].strip()
    found = _NAMED.search(text)
    return re.split(r"\s+(?:with|and|who|that|which|in|at|for)\b", found[1])[0].strip() if found else None


def find_place(text: str) -> str | None:
    """Words with capital letters after `in`, `at`, …: the last ones, because places end sentences."""
    found = _PLACE.findall(text)
    return found[-1].rstrip(".?!,") if found else None


def find_url(text: str) -> str | None:
    return _first(_URL, text)


def find_email(text: str) -> str | None:
    return _first(_EMAIL, text)


def find_date(text: str) -> str | None:
    return _first(_DATE, text)


def find_expression(text: str) -> str | None:
    found = _first(_EXPRESSION, text)
    return found.strip() if found else None


def find_assigned(text: str, name: str) -> str | None:
    """The value that the text gives to a name: `city: Graz`, `city = Graz`, `the city is Graz`."""
    spoken = r"[\s_-]+".join(map(re.escape, name.split("_")))
    found = re.search(rf"\b{spoken}\b\s*(?:=|:|\bis\b)\s*[\"'“`]?([^\"'”`,;\n]{{1,{MAX_VALUE}}})", text, re.IGNORECASE)
    return found[1].strip().rstrip(".?!") or None if found else None


def _first(pattern: re.Pattern[str], text: str) -> str | None:
    found = pattern.search(text)
    return found[0].rstrip(".,;?!") if found else None
