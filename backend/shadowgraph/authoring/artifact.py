"""Files that a run leaves behind."""

import mimetypes

from shadowgraph.authoring.place import find_place
from shadowgraph.authoring.ports import require_ports
from shadowgraph.core.text import sanitise_text

DEFAULT_MEDIA_TYPE = "application/octet-stream"
DEFAULT_TEXT_MEDIA_TYPE = "text/plain"


def artifact(path: str, body: bytes | str, media_type: str | None = None) -> None:
    """Adds a file to the current run; writing the same path again replaces it. Usable in sync and async nodes.

    The file is stored together with the step's end: a step that runs again after a crash leaves one copy.

    Errors: `shadowgraph.core.paths.UnsafePath` for a path that is absolute, climbs, or cannot stand in a file system.
    """
    guessed = media_type or mimetypes.guess_type(path)[0]
    if isinstance(body, str):
        body, guessed = sanitise_text(body).encode(), guessed or DEFAULT_TEXT_MEDIA_TYPE
    require_ports().add_artifact(path, body, media_type=guessed or DEFAULT_MEDIA_TYPE, place=find_place())
