"""Which relative paths may become files: of artifacts, archives and materialised trees."""

import re

from shadowgraph.core.errors import Invalid

MAX_PATH_LENGTH = 400
MAX_PATH_DEPTH = 12
_PART = re.compile(r"[A-Za-z0-9_\-][A-Za-z0-9._\- ]{0,99}\Z")
_DEVICE_NAMES = {"con", "prn", "aux", "nul", *(f"com{i}" for i in range(10)), *(f"lpt{i}" for i in range(10))}


class UnsafePath(Invalid):
    """A path that climbs out of its folder or cannot stand in a file system."""

    code = "unsafe_path"


def require_safe_path(path: str) -> str:
    """The path with forward slashes.

    Errors: `UnsafePath` when it is empty, absolute, over-long, has `..`, a dotfile, a NUL, a control or bidi character, or a device name.
    """
    normal = path.replace("\\", "/")
    parts = normal.split("/")
    if len(normal) > MAX_PATH_LENGTH or len(parts) > MAX_PATH_DEPTH or not all(map(_is_safe_part, parts)):
        raise UnsafePath(f"{path[:80]!r} cannot be used as a file name", path=path[:80])
    return normal


def _is_safe_part(part: str) -> bool:
    return bool(_PART.match(part)) and not part.endswith((".", " ")) and part.split(".")[0].lower() not in _DEVICE_NAMES
