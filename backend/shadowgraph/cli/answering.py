"""What a question wants for an answer, read from its JSON schema. Pure, but for `ask_value`, which asks a person."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

import typer

from shadowgraph.cli.problem import usage

BOOLEAN = "boolean"
_SHOWN_ELSEWHERE = ("question", "schema", "default", "deadline_seconds")


def question_text(interaction: Mapping[str, Any]) -> str:
    """What the graph asked, for people."""
    asked = interaction["question"]
    if isinstance(asked, Mapping) and isinstance(asked.get("question"), str):
        return str(asked["question"])
    return asked if isinstance(asked, str) else json.dumps(asked, ensure_ascii=False)


def context_of(interaction: Mapping[str, Any]) -> Mapping[str, Any]:
    """What the graph told beside its question."""
    asked = interaction["question"]
    if not (isinstance(asked, Mapping) and isinstance(asked.get("question"), str)):
        return {}
    return {name: value for name, value in asked.items() if name not in _SHOWN_ELSEWHERE}


def answer_command(interaction: Mapping[str, Any]) -> str:
    """The command that answers it."""
    return f"shadowgraph approvals answer {interaction['id']} {_options(interaction.get('schema'))}"


def _options(schema: Mapping[str, Any] | None) -> str:
    if _approval_key(schema) is not None:
        return "--yes (or --no)"
    words = _words(schema)
    if not words:
        return "--value JSON"
    others = [*words[1:], *([] if _is_choice(schema) else ["--value JSON"])]
    return f"--text {words[0]}" + (f" (or {', or '.join(others)})" if others else "")


def _is_choice(schema: Mapping[str, Any] | None) -> bool:
    return schema is not None and isinstance(schema.get("enum"), list)


def _words(schema: Mapping[str, Any] | None) -> list[str]:
    """Plain texts that are an answer: of a choice, or of a choice among other things."""
    alternatives = (schema or {}).get("anyOf", [schema])
    if not isinstance(alternatives, list):
        return []
    listed = [one["enum"] for one in alternatives if isinstance(one, Mapping) and _is_choice(one)]
    return [word for words in listed for word in words if isinstance(word, str)]


def approval(schema: Mapping[str, Any] | None, approved: bool) -> Any:
    """Yes or no in the shape that the question wants.

    Errors: `CommandFailed` (usage) when it wants something else.
    """
    if schema is None:
        return approved
    key = _approval_key(schema)
    if key is None:
        raise usage("this question is not answered with yes or no", hint="--value JSON; approvals show says what fits")
    return {key: approved} if key else approved


def _approval_key(schema: Mapping[str, Any] | None) -> str | None:
    """Empty for a plain yes or no, the member's name for an object that needs nothing else, None for any other schema."""
    if schema is None:
        return None
    if schema.get("type") == BOOLEAN:
        return ""
    required = schema.get("required")
    members = schema.get("properties")
    if not isinstance(required, Sequence) or len(required) != 1 or not isinstance(members, Mapping):
        return None
    member = members.get(required[0])
    return str(required[0]) if isinstance(member, Mapping) and member.get("type") == BOOLEAN else None


def ask_value(schema: Mapping[str, Any] | None, label: str) -> Any:
    """Asks on the terminal for a value of this schema, member by member."""
    if schema is None:
        return typer.prompt(label, err=True)
    if schema.get("type") == BOOLEAN:
        return typer.confirm(label, err=True)
    if _is_choice(schema):
        return _ask_choice(schema["enum"], label)
    if schema.get("type") == "object" and isinstance(schema.get("properties"), Mapping):
        return _ask_members(schema)
    if schema.get("type") == "string":
        return typer.prompt(label, err=True)
    words = _words(schema)
    return typer.prompt(
        f"{label} ({', '.join([*words, 'JSON'])})",
        err=True,
        value_proc=lambda text: text if text in words else _parse(text),
    )


def _ask_choice(choices: Sequence[Any], label: str) -> Any:
    for number, choice in enumerate(choices, 1):
        typer.echo(f"  {number}  {json.dumps(choice, ensure_ascii=False)}", err=True)

    def pick(text: str) -> Any:
        if text.isdigit() and 1 <= int(text) <= len(choices):
            return choices[int(text) - 1]
        raise typer.BadParameter(f"give a number from 1 to {len(choices)}")

    return typer.prompt(label, err=True, value_proc=pick)


def _ask_members(schema: Mapping[str, Any]) -> dict[str, Any]:
    """Those that are needed; the others only when the user wants them."""
    required = schema.get("required") or ()
    return {
        name: ask_value(member if isinstance(member, Mapping) else None, name)
        for name, member in schema["properties"].items()
        if name in required or typer.confirm(f"give {name}?", default=False, err=True)
    }


def _parse(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError as error:
        raise typer.BadParameter(f"this is no JSON: {error}") from error
