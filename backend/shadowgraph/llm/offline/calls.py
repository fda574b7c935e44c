"""Which call of which run a request is: the header `X-Shadowgraph-Call`, by which trouble is decided."""

import itertools
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import quote, unquote

CALL_HEADER = "X-Shadowgraph-Call"
"""Carries `build_call_header`; also taken as a header by the in-process model, through `extra_headers`."""


@dataclass(frozen=True, slots=True)
class CallPlace:
    run_id: str
    call_key: str
    """generation/namespace/node/superstep/path/index, as the journal names a call."""
    attempt: int
    """1, 2, … of this call."""

    @property
    def node(self) -> str:
        """`""` when the key does not name one."""
        parts = self.call_key.split("/")
        superstep = next((index for index in range(3, len(parts)) if parts[index].isdigit()), None)
        return "/".join(parts[2:superstep]) if superstep else ""


def build_call_header(*, run_id: str, call_key: str, attempt: int) -> str:
    """`run_id/call_key/attempt`; the key is percent-encoded except for its slashes, so that it can stand in an HTTP header."""
    return f"{quote(run_id, safe='')}/{quote(call_key, safe='/')}/{attempt}"


def parse_call_header(text: str | None) -> CallPlace | None:
    """None when the header is absent or not ours."""
    run_id, _, rest = (text or "").partition("/")
    call_key, _, attempt = rest.rpartition("/")
    if not (run_id and call_key and attempt.isascii() and attempt.isdigit()):
        return None
    return CallPlace(unquote(run_id), unquote(call_key), int(attempt[:9]))


def find_call_header(headers: Mapping[str, str] | None) -> str | None:
    """The header's value, whatever its case."""
    return next((value for name, value in (headers or {}).items() if name.lower() == CALL_HEADER.lower()), None)


class CallCounter:
    """Numbers the requests that name no call. Safe to use from several threads: `next` on a count is atomic."""

    def __init__(self) -> None:
        self._numbers = itertools.count(1)

    def place_of(self, header: str | None) -> CallPlace:
        if place := parse_call_header(header):
            return place
        number = next(self._numbers)
        return CallPlace("", str(number), number)
