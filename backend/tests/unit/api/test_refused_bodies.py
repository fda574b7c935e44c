"""Requests that are refused before any database is asked: the one here does not exist."""

import json
from collections.abc import AsyncIterator
from typing import Any

import httpx
import orjson
import pytest

from shadowgraph.api.json_bodies import MAX_JSON_DEPTH, parse_json
from shadowgraph.core.sizes import MAX_INPUT_BYTES
from tests.support.api import V1, pointers, require_problem

BAD_THREAD_IDS = ("", " ", " a", "a/", "/a", "..", "a\nb", "a\x00", "t" * 201, 7)
JSON = {"Content-Type": "application/json"}


@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        ({}, ""),
        ({"query": ""}, "/query"),
        ({"query": "   "}, "/query"),
        ({"query": 7}, "/query"),
        ({"query": "x" * 100_001}, "/query"),
        ({"query": "a\x00b"}, "/query"),
        ({"query": "x", "workflow": "pipeline"}, ""),
        ({"query": "x", "input": {"query": "x"}}, ""),
        ({"workflow": "agent"}, ""),
        ({"input": {}}, ""),
        ({"workflow": "agent", "input": []}, "/input"),
        ({"workflow": "", "input": {}}, "/workflow"),
        ({"workflow": "a\x00", "input": {}}, "/workflow"),
        ({"query": "x", "colour": "red"}, "/colour"),
        ({"query": "x", "a/b~c": "red"}, "/a~1b~0c"),
        ({"query": "x", "priority": 11}, "/priority"),
        ({"query": "x", "priority": "1"}, "/priority"),
        ({"query": "x", "priority": True}, "/priority"),
        ({"query": "x", "priority": 1.5}, "/priority"),
        ({"query": "x", "max_steps": 0}, "/max_steps"),
        ({"query": "x", "metadata": {"k": 1}}, "/metadata/k"),
        ({"query": "x", "metadata": ["k"]}, "/metadata"),
        ({"query": "x", "metadata": {"k": "x" * 16_384}}, "/metadata"),
        ({"query": "x", "metadata": {"k": "\x00"}}, "/metadata/k"),
        ({"query": "x", "subject": ""}, "/subject"),
        ({"query": "x", "subject": "s" * 201}, "/subject"),
        *(({"query": "x", "thread_id": thread_id}, "/thread_id") for thread_id in BAD_THREAD_IDS),
        ({"query": "x", "on_busy": "wait"}, "/on_busy"),
        *(({"query": "x", "timeout_s": seconds}, "/timeout_s") for seconds in (0, -1, "1", True, 4e7)),
        ([], ""),
        ("text", ""),
        (None, ""),
        (7, ""),
    ],
)
async def test_what_cannot_be_processed_is_refused_with_its_place(
    client: httpx.AsyncClient, body: Any, pointer: str
) -> None:
    response = await client.post(f"{V1}/runs", content=orjson.dumps(body), headers=JSON)

    problem = require_problem(response, 422, "invalid_request")
    assert pointer in list(pointers(problem))


async def test_a_label_name_that_no_filter_could_name_is_refused(client: httpx.AsyncClient) -> None:
    response = await client.post(f"{V1}/runs", json={"query": "x", "metadata": {"a b": "1"}})

    require_problem(response, 422, "invalid_request")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("parent_run_id", "run_x"),
        ("dry_run", False),
        ("no_shadow", True),
        ("webhook", {"url": "https://example.test"}),
    ],
)
async def test_a_field_that_is_not_served_yet_is_refused_with_a_hint(
    client: httpx.AsyncClient, name: str, value: Any
) -> None:
    response = await client.post(f"{V1}/runs", json={"query": "x", name: value})

    problem = require_problem(response, 422, "not_served_yet")
    assert list(pointers(problem)) == [f"/{name}"]
    assert problem["hint"]


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (b"", "empty_body"),
        (b"  \n", "empty_body"),
        (b"{", "malformed_json"),
        (b'{"query": "x"} trailing', "malformed_json"),
        (b"{'query': 'x'}", "malformed_json"),
        (b'{"query": NaN}', "malformed_json"),
        (b'{"query": "\\ud800"}', "malformed_json"),
        (b'{"query": "\xff"}', "malformed_json"),
        ('{"query": "x"}'.encode("utf-16"), "malformed_json"),
        (b"query=x", "malformed_json"),
        (b'{"workflow": "a", "input": {"n": 18446744073709551616}}', "malformed_json"),
        (b'{"workflow": "a", "input": {"n": ' + b"9" * 200_000 + b"}}", "malformed_json"),
        (b'{"workflow": "a", "input": {"n": 1e400}}', "malformed_json"),
        (b'{"a":' * (MAX_JSON_DEPTH + 1) + b"1" + b"}" * (MAX_JSON_DEPTH + 1), "json_too_deep"),
        (b"[" * 100_000, "malformed_json"),
        (b"[" * 100_000 + b"]" * 100_000, "malformed_json"),
    ],
)
async def test_a_body_that_is_no_json_of_ours_is_refused(client: httpx.AsyncClient, body: bytes, code: str) -> None:
    response = await client.post(f"{V1}/runs", content=body, headers=JSON)

    require_problem(response, 422, code)


async def test_an_input_of_the_greatest_depth_passes_the_parser(client: httpx.AsyncClient) -> None:
    depth = MAX_JSON_DEPTH - 1
    body = b'{"nonsense":' + b"[" * depth + b"]" * depth + b"}"

    response = await client.post(f"{V1}/runs", content=body, headers=JSON)

    require_problem(response, 422, "invalid_request")


@pytest.mark.parametrize("number", ["18446744073709551615", "-9223372036854775808", "1234567890123456789.5", "1e30"])
def test_the_largest_numbers_stay_what_they_are(number: str) -> None:
    value = parse_json(f'{{"n": {number}, "text": "12345678901234567890123"}}'.encode())

    assert value == {"n": json.loads(number), "text": "12345678901234567890123"}


@pytest.mark.parametrize(
    "content_type",
    ["", "text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x", "text/json"],
)
async def test_a_body_that_a_web_page_could_send_unasked_is_refused(
    client: httpx.AsyncClient, content_type: str
) -> None:
    headers = {"Content-Type": content_type} if content_type else {}

    response = await client.post(f"{V1}/runs", content=b'{"query": "x"}', headers=headers)

    problem = require_problem(response, 415, "unsupported_media_type")
    assert "application/json" in problem["hint"]


async def test_json_with_a_charset_is_json(client: httpx.AsyncClient) -> None:
    response = await client.post(
        f"{V1}/runs", content=b"{}", headers={"Content-Type": "Application/JSON; charset=utf-8"}
    )

    require_problem(response, 422, "invalid_request")


async def test_a_declared_length_above_the_limit_is_refused(client: httpx.AsyncClient) -> None:
    response = await client.post(f"{V1}/runs", json={"query": "x" * 2_000_000})

    problem = require_problem(response, 413, "body_too_large")
    assert problem["limit_bytes"] == MAX_INPUT_BYTES


async def test_an_undeclared_length_above_the_limit_is_refused(client: httpx.AsyncClient) -> None:
    async def chunks() -> AsyncIterator[bytes]:
        for _ in range(300):
            yield b"x" * 1024

    response = await client.post(f"{V1}/runs", content=chunks(), headers=JSON)

    require_problem(response, 413, "body_too_large")


async def test_a_body_of_just_the_limit_is_read(client: httpx.AsyncClient) -> None:
    filler = b'{"query": "' + b"x" * (MAX_INPUT_BYTES - 13) + b'"}'
    assert len(filler) == MAX_INPUT_BYTES

    response = await client.post(f"{V1}/runs", content=filler, headers=JSON)

    require_problem(response, 422, "invalid_request")


@pytest.mark.parametrize("key", ["", "k" * 256, "tab\tinside", "ümlaut"])
async def test_an_idempotency_key_that_is_no_plain_token_is_refused(client: httpx.AsyncClient, key: str) -> None:
    headers = {b"Idempotency-Key": key.encode()}

    response = await client.post(f"{V1}/runs", json={"query": "x"}, headers=headers)

    problem = require_problem(response, 422, "invalid_request")
    assert list(pointers(problem)) == ["Idempotency-Key"]


@pytest.mark.parametrize(
    ("query", "pointer"),
    [("wait=61", "?wait"), ("wait=-1", "?wait"), ("wait=soon", "?wait"), ("wiat=30", "?wiat")],
)
async def test_a_bad_query_parameter_is_refused(client: httpx.AsyncClient, query: str, pointer: str) -> None:
    response = await client.post(f"{V1}/runs?{query}", json={"query": "x"})

    problem = require_problem(response, 422, "invalid_request")
    assert list(pointers(problem)) == [pointer]
