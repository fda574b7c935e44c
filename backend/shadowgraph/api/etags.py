"""Answers that a client may have already."""

from collections.abc import Mapping

from fastapi import Response

from shadowgraph.core.json import sha256

ETAG_DIGITS = 32


def etag_of(digest: str) -> str:
    return f'"{digest[:ETAG_DIGITS]}"'


def is_fresh(etag: str, if_none_match: str | None) -> bool:
    """True: the client has this very content (RFC 9110, weak comparison)."""
    if not if_none_match:
        return False
    given = [item.strip().removeprefix("W/") for item in if_none_match.split(",")]
    return etag in given or "*" in given


def tagged_response(
    body: bytes,
    *,
    if_none_match: str | None,
    media_type: str,
    digest: str | None = None,
    headers: Mapping[str, str] | None = None,
) -> Response:
    """304 without a body when the client has it. `digest`: of the body, when it is known already."""
    etag = etag_of(digest or sha256(body))
    all_headers = {**(headers or {}), "ETag": etag, "Cache-Control": "private, no-cache"}
    if is_fresh(etag, if_none_match):
        return Response(status_code=304, headers=all_headers)
    return Response(body, media_type=media_type, headers=all_headers)
