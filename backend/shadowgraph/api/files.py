"""How a file of a run is handed to a browser: models wrote it, so it must never run with the rights of this site."""

import re
from pathlib import PurePosixPath
from urllib.parse import quote

OCTET_STREAM = "application/octet-stream"

SHOWN_TYPES = frozenset(
    {
        "application/json",
        "image/gif",
        "image/jpeg",
        "image/png",
        "image/webp",
        "text/csv",
        "text/markdown",
        "text/plain",
        "text/x-python",
    }
)
"""What a browser may show; everything else (HTML and SVG can carry scripts) is only saved."""

_MEDIA_TYPE = re.compile(r"[a-z0-9][a-z0-9!#$&^_.+-]*/[a-z0-9][a-z0-9!#$&^_.+-]*\Z")
FILE_POLICY = "default-src 'none'; sandbox; frame-ancestors 'none'"


def content_type(stored: str) -> str:
    """The stored media type if it is one, without parameters; text is UTF-8."""
    media_type = stored.partition(";")[0].strip().lower()
    if not _MEDIA_TYPE.match(media_type):
        return OCTET_STREAM
    return f"{media_type}; charset=utf-8" if media_type.startswith("text/") else media_type


def file_headers(path: str, stored_type: str) -> dict[str, str]:
    is_shown = content_type(stored_type).partition(";")[0] in SHOWN_TYPES
    return {
        "Content-Disposition": disposition("inline" if is_shown else "attachment", PurePosixPath(path).name),
        "Content-Security-Policy": FILE_POLICY,
    }


def disposition(kind: str, name: str) -> str:
    plain = re.sub(r"[^A-Za-z0-9._\- ]", "_", name)
    return f"{kind}; filename=\"{plain}\"; filename*=UTF-8''{quote(name, safe='')}"
