"""Tokens as this model counts them: an estimate for bills, and the unit in which text is cut short and streamed."""

import re
from collections.abc import Iterator

_TOKEN = re.compile(r"\s*\S{1,8}|\s+")
"""White space and up to eight characters: about as long as a token of the usual tokenizers in code and English."""
TOKENS_PER_PIECE = 12
"""A stream sends this many at once: a piece costs more than its text, in LangChain as over HTTP."""
_PIECE = re.compile(rf"(?:{_TOKEN.pattern}){{1,{TOKENS_PER_PIECE}}}")


def split_pieces(text: str) -> Iterator[str]:
    """The pieces in which a text is streamed; joined they are the text."""
    return (found[0] for found in _PIECE.finditer(text))


def count_tokens(text: str) -> int:
    return sum(1 for _ in _TOKEN.finditer(text))


def cut_to(text: str, max_tokens: int) -> str:
    """The first `max_tokens` tokens of a text."""
    end = 0
    for number, found in enumerate(_TOKEN.finditer(text), start=1):
        if number > max_tokens:
            break
        end = found.end()
    return text[:end]
