"""The input of `shadowgraph run`: a file, an object, or a text that goes where the workflow takes one."""

import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from shadowgraph.cli.problem import CommandFailed, usage

Schema = Mapping[str, Any]


def read_input(given: str) -> dict[str, Any]:
    """`given`: a JSON object, a file that holds one, or - for stdin.

    Errors: `CommandFailed` (usage).
    """
    name = "{…}" if _is_object(given) else given
    try:
        value = json.loads(_text_of(given))
    except (OSError, ValueError) as error:
        raise usage(f"--input {name} cannot be read: {error}") from error
    if not isinstance(value, dict):
        raise usage(f"--input {name} is no JSON object")
    return value


def _text_of(given: str) -> str:
    if _is_object(given):
        return given
    return sys.stdin.read() if given == "-" else Path(given).read_text()


def _is_object(given: str) -> bool:
    return given.lstrip().startswith("{")


def input_of_text(text: str, workflow: str, schema: Schema) -> dict[str, Any]:
    """The input that a text alone can only mean: a user's message, or the one key that has to be given, or the one that takes a text.

    Errors: `CommandFailed` (usage), with the keys that there are.
    """
    properties: Mapping[str, Any] = schema.get("properties") or {}
    if "messages" in properties:
        return {"messages": [{"role": "user", "content": text}]}
    required = [name for name in schema.get("required") or () if name in properties]
    texts = [name for name, described in properties.items() if _takes_text(described)]
    candidates = [name for name in texts if name in required] if required else texts
    if len(candidates) == 1 and len(required) <= 1:
        return {candidates[0]: text}
    raise _unclear(workflow, required or list(properties))


def _takes_text(described: Any) -> bool:
    if not isinstance(described, Mapping):
        return False
    choices = described.get("anyOf") or [described]
    return any(choice.get("type") == "string" and choice.get("format") != "binary" for choice in choices)


def _unclear(workflow: str, keys: Sequence[str]) -> CommandFailed:
    if not keys:
        return usage(f"{workflow} does not say where it takes a text", hint="give its input: --input '{…}'")
    detail = f"{workflow} takes {', '.join(keys)}: a text alone does not say what is meant"
    return usage(detail, hint=f"""name it: --input '{{"{keys[0]}": …}}'""")
