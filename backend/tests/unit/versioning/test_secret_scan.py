import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shadowgraph.versioning.errors import SecretInSnapshot
from shadowgraph.versioning.secret_scan import KNOWN_FORMS, PRAGMA, require_no_secrets, scan

GROQ = "gsk_" + "Ab3" * 17
OPENAI = "sk-proj-" + "aB1_" * 8
RANDOM = "q8Zr2Lk9XbV4nT7wYc1PdF6hJs3GmA0eUiOo5K"


@pytest.mark.parametrize(
    ("line", "what"),
    [
        (f"Use the key {GROQ} for that", "a Groq key"),
        (f"OPENAI = '{OPENAI}'", "an OpenAI key"),
        ("sk-ant-api03-" + "x1Y2" * 8, "an Anthropic key"),
        ("id: AKIA" + "ABCD1234EFGH5678", "an AWS key id"),
        ("ghp_" + "a1B2" * 9, "a GitHub token"),
        ("glpat-" + "a1B2c3D4" * 3, "a GitLab token"),
        ("xoxb-" + "123456-abcdef", "a Slack token"),
        ("AIza" + "Sy1234567890abcdefghijklmnopqrstuvw", "a Google key"),
        ("-----BEGIN RSA PRIVATE KEY-----", "a private key"),
        ("eyJhbGciOiJIUzI1NiJ9." + "eyJzdWIiOiIxMjM0NTY3ODkwIn0." + "dozjgNryP4J3jVmNHl0w5N", "a signed token"),
        ("URL = 'postgresql://app:hunter22@db.prod/app'", "a password in an address"),
        ("db_password = 'kV9-pQ2x.Zr7Lm'", "a secret that is written out"),
        ('"client_secret": "kV9pQ2xZr7LmA4"', "a secret that is written out"),
        (f"T = '{RANDOM}'", "a long random key"),
    ],
)
def test_what_looks_like_a_secret_is_found_with_its_line_and_not_repeated(line: str, what: str) -> None:
    [found] = scan("prompts/coder.md", f"first\n{line}\nlast\n")

    assert found == {"pointer": "prompts/coder.md:2", "detail": f"looks like {what}"}


@pytest.mark.parametrize(
    "line",
    [
        "api_key = os.environ['GROQ_API_KEY']",
        "password: the user's own",
        "api_key = 'your-api-key-goes-here'",
        "token = 'xxxxxxxxxxxxxxxxxxxx'",
        "DATABASE_URL=postgresql://postgres:postgres@db/app",
        "amqp://guest:secret-123@localhost/",
        "https://user:password@example.com/",
        "https://example.com/a/very/long/path/with/Many/Parts/And/Numbers/2024/01/index.html",
        "digest = 'e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855'",
        "integrity = sha512-q8Zr2Lk9XbV4nT7wYc1PdF6hJs3GmA0eUiOo5Kq8Zr2Lk9XbV4nT7wYc1PdF6hJ==",
        "def a_function_with_a_very_long_name_that_Says_What_It_Does_123(argument): ...",
        f"KEY = '{GROQ}'  # {PRAGMA}",
    ],
)
def test_what_only_looks_a_little_like_one_is_let_through(line: str) -> None:
    assert list(scan("agent.py", f"{line}\n")) == []


def test_checksums_of_lock_files_are_let_through() -> None:
    assert list(scan("uv.lock", f"hash = '{RANDOM}'\n")) == []
    assert list(scan("uv.lock", f"key = '{GROQ}'\n")) != []


def test_all_of_them_are_named_at_once() -> None:
    files = {"b.md": f"{GROQ}\n\n{OPENAI}\n".encode(), "a.py": f"T = '{RANDOM}'\n".encode()}

    with pytest.raises(SecretInSnapshot) as raised:
        require_no_secrets(files)

    assert [error["pointer"] for error in raised.value.facts["errors"]] == ["a.py:1", "b.md:1", "b.md:3"]  # type: ignore[attr-defined]
    assert GROQ not in str(raised.value)


def test_the_letters_that_are_looked_for_first_stand_in_every_match() -> None:
    examples = {
        "a private key": "-----BEGIN PRIVATE KEY-----",
        "an AWS key id": "ASIA" + "A" * 16,
        "a Stripe key": "rk_live_" + "a" * 20,
        "a GitHub token": "ghs_" + "a" * 36,
    }
    for name, (letters, form) in KNOWN_FORMS.items():
        if name in examples:
            assert form.search(examples[name])
            assert letters in examples[name]


@given(st.text(string.ascii_letters + string.digits, min_size=20, max_size=60), st.integers(0, 5))
def test_a_key_is_found_wherever_it_stands(key: str, line: int) -> None:
    text = "\n" * line + f'{{"key": "gsk_{key}"}}'

    assert f"a.json:{line + 1}" in [found["pointer"] for found in scan("a.json", text)]
