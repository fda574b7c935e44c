"""What is filled into a text: `${name}`; `$${name}` stays as `${name}`, any other `$` as it is."""

import re
from collections.abc import Mapping

PROMPTS_DIR = "prompts"
"""The folder of a project's prompts: `prompts/<name>.md`."""

_VARIABLE = re.compile(r"(?P<escape>\$)?\$\{(?P<name>[A-Za-z_]\w*)\}")


def variables_of(text: str) -> frozenset[str]:
    return frozenset(match["name"] for match in _VARIABLE.finditer(text) if not match["escape"])


def fill(text: str, values: Mapping[str, object]) -> str:
    """Errors: `KeyError` for a variable without a value."""

    def value_of(match: re.Match[str]) -> str:
        return match[0][1:] if match["escape"] else str(values[match["name"]])

    return _VARIABLE.sub(value_of, text)


def line_of(text: str, variable: str) -> int:
    """Where the variable stands first, counted from 1; 0: nowhere."""
    for match in _VARIABLE.finditer(text):
        if match["name"] == variable and not match["escape"]:
            return text.count("\n", 0, match.start()) + 1
    return 0
