"""Names that follow from the name of a pool, which may be any text that names a folder."""

import re
from hashlib import sha256

READABLE_CHARACTERS = 40
DIGEST_CHARACTERS = 12


def pool_key(pool: str) -> str:
    """Another one for every pool. Plain ASCII of at most 53 characters: what people recognise of the name, and a digest of all of it."""
    readable = re.sub(r"[^A-Za-z0-9_-]+", "-", pool)[:READABLE_CHARACTERS]
    return f"{readable}.{pool_digest(pool)}"


def pool_digest(pool: str) -> str:
    """Where there is little room."""
    return sha256(pool.encode()).hexdigest()[:DIGEST_CHARACTERS]
