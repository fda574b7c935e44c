from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shadowgraph.core.json import canonical
from shadowgraph.core.text import MAX_DEPTH, NotJson, sanitise, sanitise_text


@pytest.mark.parametrize(
    ("text", "clean"),
    [
        ("plain", "plain"),
        ("tab\tand\r\nline", "tab\tand\r\nline"),
        ("nul\x00 bell\x07 escape\x1b[1m delete\x7f", "nul bell escape[1m delete"),
        ("\ud83d\ude00", "\N{GRINNING FACE}"),
        ("lone \ud800 and \udfff", "lone \ufffd and \ufffd"),
    ],
)
def test_text_is_cleaned(text: str, clean: str) -> None:
    assert sanitise_text(text) == clean


def test_text_is_cut_at_the_given_length() -> None:
    assert sanitise_text("abc\x00def", max_characters=4) == "abcd"


@given(st.text(st.characters(codec=None)))
def test_clean_text_can_be_stored_and_stays_as_it_is(text: str) -> None:
    clean = sanitise_text(text)

    assert canonical(clean)
    assert "\x00" not in clean
    assert sanitise_text(clean) == clean


JSON_LIKE = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters(codec=None)),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner) | st.tuples(inner, inner),
)


@given(JSON_LIKE)
def test_clean_values_can_be_stored_and_stay_as_they_are(value: Any) -> None:
    clean = sanitise(value)

    assert canonical(clean)
    assert sanitise(clean) == clean


def test_numbers_that_json_cannot_hold_are_replaced() -> None:
    assert sanitise([float("nan"), float("-inf"), 2**63, 1.5, True]) == [None, None, "9223372036854775808", 1.5, True]


@pytest.mark.parametrize("value", [b"bytes", {1: "key"}, {"set"}, object()])
def test_what_is_not_json_is_refused(value: Any) -> None:
    with pytest.raises(NotJson):
        sanitise({"value": value})


def test_values_that_are_nested_without_end_are_refused() -> None:
    value: list[Any] = []
    for _ in range(MAX_DEPTH + 1):
        value = [value]

    with pytest.raises(NotJson, match="nested deeper"):
        sanitise(value)
