"""Times as people write them."""

import re
from datetime import datetime, timedelta

from shadowgraph.cli.problem import usage
from shadowgraph.core.clock import Clock

_AGE = re.compile(r"(\d{1,6})([smhd])\Z")
_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}


def moment_of(text: str | None, option: str, *, clock: Clock) -> str | None:
    """An age such as `7d` as the moment that it means; anything else goes to the server as it is.

    Errors: `CommandFailed` (usage) that names the option.
    """
    if text is None:
        return None
    if age := _AGE.match(text):
        return (clock.now() - timedelta(**{_UNITS[age[2]]: int(age[1])})).isoformat()
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise usage(
            f"{option} {text!r} is neither an age nor a time", hint="30m, 24h, 7d or 2026-01-31T12:00:00Z"
        ) from None
    return moment.astimezone().isoformat()
