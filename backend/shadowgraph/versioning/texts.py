"""One form for a text on every platform: UTF-8 without a mark at its start, lines that end with a line feed."""


class Unusable(ValueError):
    """A file that no snapshot can hold; says why."""


def normal_text(raw: bytes) -> bytes:
    """Errors: `Unusable`."""
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise Unusable(f"is not UTF-8 text (byte {error.start})") from error
    if "\0" in text:
        raise Unusable("is not text: it has a NUL character")
    return text.replace("\r\n", "\n").replace("\r", "\n").encode()
