"""Takes secrets and control characters out of text that leaves for a log or a terminal."""

import re
from collections.abc import Mapping, Sequence

from shadowgraph.core.json import Json

MASK = "***"

_SECRETS = re.compile(
    r"""
      -----BEGIN\ [A-Z ]*PRIVATE\ KEY----- (?: [\s\S]*? -----END\ [A-Z ]*PRIVATE\ KEY----- | [\s\S]* )
    | (?P<scheme> [a-zA-Z][a-zA-Z0-9+.-]{0,20} :// [^\s/:@]{0,200} : ) [^\s/]{1,500} @
    | (?P<bearer> (?i:bearer|basic) \s+ ) [A-Za-z0-9._~+/=-]{8,}
    | \b (?P<prefix> sg_ | gsk_ | sk- | xox[abp]- | gh[pousr]_ | github_pat_ | AKIA | whsec_ | AIza | hf_ ) [A-Za-z0-9_+/=-]{12,}
    | \b eyJ[A-Za-z0-9_-]{8,} \. [A-Za-z0-9_-]{8,} \. [A-Za-z0-9_-]*
    | (?P<name> (?i: authorization | api[-_]?key | password | passwd | secret(?:[-_]?key)? | cookie | (?:access|refresh|auth|id|csrf)[-_]token )
        ["']? \s* [:=] \s* (?: (?i:bearer|basic) \s+ )? )
      (?: "[^"\n]*" | '[^'\n]*' | [^\s"',;&)}\]]+ )
    """,
    re.VERBOSE,
)
"""Keys by their prefix, bearer and basic credentials, passwords in URLs, `name=value` of secret names, tokens of three parts, PEM blocks."""

_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff]")
"""Characters that move the cursor, start a line, reverse the reading order or cannot be encoded."""


def redact(text: str) -> str:
    """The text without secrets; what a secret belongs to stays readable (`postgresql://app:***@host`)."""
    return _SECRETS.sub(_mask, text)


def _mask(match: re.Match[str]) -> str:
    if match["scheme"]:
        return f"{match['scheme']}{MASK}@"
    return (match["bearer"] or match["prefix"] or match["name"] or "") + MASK


def redact_values(value: Json) -> Json:
    """The same for every text in it; all that stands under a secret's name is a secret."""
    if isinstance(value, str):
        return redact(value)
    if isinstance(value, Mapping):
        return {key: MASK if _names_a_secret(key) else redact_values(item) for key, item in value.items()}
    if isinstance(value, Sequence):
        return [redact_values(item) for item in value]
    return value


def _names_a_secret(name: str) -> bool:
    return redact(f"{name}=x") == f"{name}={MASK}"


def printable(text: str, *, keep: str = "\n\t") -> str:
    """The text with control characters written as escapes, so that text from elsewhere can neither steer a terminal nor forge a line."""
    return _CONTROL.sub(lambda match: match[0] if match[0] in keep else _escape(match[0]), text)


def _escape(character: str) -> str:
    return f"\\x{ord(character):02x}" if ord(character) < 0x100 else f"\\u{ord(character):04x}"
