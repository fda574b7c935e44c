"""What is wrong with a snapshot, with the exact places."""

from collections.abc import Iterable, Mapping, Sequence
from typing import TypeAlias

from shadowgraph.core.errors import Invalid

MAX_SHOWN = 20

Place: TypeAlias = Mapping[str, str]
"""{pointer, detail}. The pointer is a path in the project, with `:line` where there is one, or a JSON pointer into the manifest."""


def place(pointer: str, detail: str) -> Place:
    return {"pointer": pointer, "detail": detail}


class InvalidSnapshot(Invalid):
    """It cannot be built, or is not what it says. `errors` names each place."""

    code = "invalid_snapshot"


class SecretInSnapshot(Invalid):
    """Something in it looks like a key or a password. The words themselves are not repeated."""

    code = "secret_in_snapshot"


def invalid(problems: Sequence[Place], *, hint: str | None = None) -> InvalidSnapshot:
    return InvalidSnapshot(summary_of(problems), hint=hint, errors=problems[:MAX_SHOWN])


def refuse(problems: Iterable[Place], *, hint: str | None = None) -> None:
    """Errors: `InvalidSnapshot`, if there are any."""
    found = list(problems)
    if found:
        raise invalid(found, hint=hint)


def summary_of(problems: Sequence[Place]) -> str:
    more = f" (and {len(problems) - 1} more)" if len(problems) > 1 else ""
    return f"{problems[0]['pointer']}: {problems[0]['detail']}{more}"
