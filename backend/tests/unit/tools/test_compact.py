from hypothesis import given, settings
from hypothesis import strategies as st

from shadowgraph.core.json import Json, canonical
from shadowgraph.core.text import shorten_text
from shadowgraph.tools.compact import compact

JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(st.characters(exclude_categories=["Cs"])),
    lambda inner: st.lists(inner) | st.dictionaries(st.text("abc"), inner),
    max_leaves=30,
)


def test_a_value_that_fits_is_returned_as_it_is() -> None:
    value: Json = {"results": ["a", "b"], "available": True}

    assert compact(value, max_bytes=1_000) is value


def test_a_long_text_keeps_its_beginning_and_its_end() -> None:
    shorter = shorten_text("start" + "x" * 10_000 + "end", max_characters=100)

    assert shorter.startswith("start")
    assert shorter.endswith("end")
    assert "[cut: 9908 characters]" in shorter


def test_a_long_list_says_how_many_items_are_missing() -> None:
    shorter = compact({"items": list(range(20_000))}, max_bytes=2_000)

    assert isinstance(shorter, dict)
    assert shorter["items"][-1] == "… [cut: 19800 more items]"


@settings(max_examples=50, deadline=None)
@given(JSON, st.integers(60, 5_000))
def test_the_result_never_exceeds_the_limit(value: Json, max_bytes: int) -> None:
    assert len(canonical(compact(value, max_bytes=max_bytes))) <= max_bytes
