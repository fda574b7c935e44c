"""No secret and no control character leaves for a log or a terminal."""

import time

import pytest

from shadowgraph.core.json import Json
from shadowgraph.core.redaction import printable, redact, redact_values

PEM = "-----BEGIN RSA PRIVATE KEY-----\nMIIEcanary\nabc\n-----END RSA PRIVATE KEY-----"


@pytest.mark.parametrize(
    ("text", "clean"),
    [
        ("key gsk_canary1234567890abcdef used", "key gsk_*** used"),
        ("sk-proj-canary1234567890", "sk-***"),
        ("sg_ab12cd34_canary1234567890abcdefghij_00ff", "sg_***"),
        ("whsec_canary1234567890abcdef==", "whsec_***"),
        ("Authorization: Bearer canary.canary-1", "Authorization: Bearer ***"),
        ("{'authorization': 'Bearer canary'}", "{'authorization': ***}"),
        ("curl -H 'x-api-key: canary' next", "curl -H 'x-api-key: ***' next"),
        ("postgresql://app:canary@db/name", "postgresql://app:***@db/name"),
        ("amqp://guest:can@ary@mq:5672/", "amqp://guest:***@mq:5672/"),
        ("redis://:canary@127.0.0.1/0", "redis://:***@127.0.0.1/0"),
        ("host=db password=canary user=app", "host=db password=*** user=app"),
        ('{"api_key": "canary", "n": 1}', '{"api_key": ***, "n": 1}'),
        ("GROQ_API_KEY=canary", "GROQ_API_KEY=***"),
        ("SECRET_KEY='canary with words'", "SECRET_KEY=***"),
        ("access_token=canary&x=1", "access_token=***&x=1"),
        ("eyJhbGciOiJI.eyJjYW5hcnki.canary", "***"),
        (f"before {PEM} after", "before *** after"),
        ("cut -----BEGIN PRIVATE KEY-----\nMIIEcanary", "cut ***"),
    ],
)
def test_a_secret_is_masked_and_its_surroundings_stay(text: str, clean: str) -> None:
    assert redact(text) == clean
    assert "canary" not in redact(text)


@pytest.mark.parametrize(
    "text",
    [
        "prompt_tokens=120 completion_tokens=40 lease_token=7",
        "http://127.0.0.1:8000/runs?wait=30",
        "the password is wrong",
        "run_0193 finished in 12:30:01",
        "sha256 9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
    ],
)
def test_ordinary_text_is_left_alone(text: str) -> None:
    assert redact(text) == text


@pytest.mark.parametrize("text", ["a" * 100_000, "a:" * 50_000, "://" * 30_000, "password" * 12_000, "x://y:" * 16_000])
def test_long_hostile_text_is_searched_in_linear_time(text: str) -> None:
    started = time.process_time()

    redact(text)

    assert time.process_time() - started < 5  # a quadratic search takes minutes


def test_control_characters_are_written_as_escapes() -> None:
    assert printable("a\x1b[31mb\x9b1m\x00\r\u202e\u2028c") == "a\\x1b[31mb\\x9b1m\\x00\\x0d\\u202e\\u2028c"
    assert printable("line\n\tnext") == "line\n\tnext"
    assert printable("line\nnext", keep="") == "line\\x0anext"


def test_a_lone_surrogate_can_be_printed() -> None:
    printable("a\ud800b").encode()


def test_secrets_are_taken_out_of_values_by_their_shape_and_by_their_name() -> None:
    value: Json = {
        "to": ["ann", "key gsk_canary1234567890abcdef"],
        "api_key": {"deep": "canary"},
        "Password": 7,
        "n": 1,
        "on": None,
    }

    clean = {"to": ["ann", "key gsk_***"], "api_key": "***", "Password": "***", "n": 1, "on": None}
    assert redact_values(value) == clean
