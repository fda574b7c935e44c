import pytest

from shadowgraph.llm.offline.calls import (
    CALL_HEADER,
    CallCounter,
    CallPlace,
    build_call_header,
    find_call_header,
    parse_call_header,
)


@pytest.mark.parametrize("key", ["0//coder/3/pull/0", "1/sub:1|x/Müller & co/2/~a/b", "gw", "a b/%2F/é/\n"])
def test_a_call_survives_the_way_through_the_header(key: str) -> None:
    header = build_call_header(run_id="run_1", call_key=key, attempt=2)

    assert header.isascii()
    assert header.isprintable()
    assert parse_call_header(header) == CallPlace("run_1", key, 2)


@pytest.mark.parametrize(
    ("key", "node"),
    [
        ("0//coder/3/pull/0", "coder"),
        ("2/parent:id/coder/3/pull/0", "coder"),
        ("0//a/b/3/pull/0", "a/b"),
        ("0//7/3/pull/0", "7"),
        ("explicit", ""),
        ("", ""),
    ],
)
def test_the_node_is_read_from_the_key(key: str, node: str) -> None:
    assert CallPlace("run_1", key, 1).node == node


@pytest.mark.parametrize(
    "header", [None, "", "run_1", "run_1/key", "run_1/key/x", "/key/1", "run_1//1", "run_1/key/-1"]
)
def test_other_headers_name_no_call(header: str | None) -> None:
    assert parse_call_header(header) is None


def test_the_header_is_found_whatever_its_case() -> None:
    assert find_call_header({CALL_HEADER.lower(): "x"}) == "x"
    assert find_call_header({"Other": "x"}) is None
    assert find_call_header(None) is None


def test_requests_without_a_header_are_numbered() -> None:
    counter = CallCounter()

    places = [counter.place_of(None), counter.place_of("run_1/0//n/1/p/0/5"), counter.place_of("broken")]

    assert [place.attempt for place in places] == [1, 5, 2]
    assert len({place.call_key for place in places}) == 3
