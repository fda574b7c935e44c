"""How lists are asked for page by page."""

from datetime import datetime

from pydantic import Field

from shadowgraph.api.schemas.common import Received
from shadowgraph.runs.cursors import BadCursor, Cursor

DEFAULT_LIMIT = 100
MAX_LIMIT = 500
NEXT_CURSOR = "Send it as `cursor` for the next page; null: there is none."


class PageParameters(Received):
    cursor: str | None = Field(default=None, max_length=500, description="`next_cursor` of the page before.")
    limit: int = Field(default=DEFAULT_LIMIT, ge=1, le=MAX_LIMIT)

    @property
    def place(self) -> Cursor | None:
        """Errors: `BadCursor`."""
        return Cursor.decode(self.cursor) if self.cursor else None


class NumberedPageParameters(PageParameters):
    """For lists whose items have numbers of their own."""

    @property
    def before(self) -> int | None:
        """Errors: `BadCursor`."""
        place = self.place
        if place is None:
            return None
        if not place.id.isdecimal():
            raise BadCursor("the cursor is one of another list", hint="leave it out to start again")
        return int(place.id)


def numbered_cursor(at: datetime, number: int) -> str:
    return Cursor(at, str(number)).encode()
