"""Opaque page cursors: where the last page ended, by time and id."""

import base64
import binascii
from dataclasses import dataclass
from datetime import UTC, datetime

import orjson

from shadowgraph.core.errors import Invalid
from shadowgraph.core.json import digest
from shadowgraph.runs.inputs import is_storable

CHECK_DIGITS = 8


class BadCursor(Invalid):
    """Not a cursor that we gave out."""

    code = "bad_cursor"


@dataclass(frozen=True, slots=True)
class Cursor:
    created_at: datetime
    id: str

    def encode(self) -> str:
        """Carries check digits: a changed cursor must not show some other page."""
        place = [self.created_at.isoformat(), self.id]
        return base64.urlsafe_b64encode(orjson.dumps([*place, _check(place)])).decode().rstrip("=")

    @staticmethod
    def decode(text: str) -> "Cursor":
        """Errors: `BadCursor`."""
        try:
            *place, check = orjson.loads(base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)))
            created_at, run_id = place
            moment = datetime.fromisoformat(created_at).astimezone(UTC)
        except (ValueError, TypeError, OverflowError, binascii.Error) as error:
            raise _bad() from error
        if check != _check(place) or not isinstance(run_id, str) or not is_storable(run_id):
            raise _bad()
        return Cursor(moment, run_id)


def _check(place: list[str]) -> str:
    return digest(place)[:CHECK_DIGITS]


def _bad() -> BadCursor:
    return BadCursor("the cursor is not one that this server gave out", hint="leave it out to start again")
