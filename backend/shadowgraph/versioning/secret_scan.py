"""Finds what looks like a key or a password: a snapshot is stored, exported and shown.

It refuses, so it must be exact: known forms, assignments of a literal to a secret's name, and long random words. (`core/redaction.py` hides,
and rather hides too much.) `pragma: allowlist secret` in a line says that a person has looked at it.
"""

import math
import re
from collections import Counter
from collections.abc import Iterator, Mapping

from shadowgraph.versioning.errors import MAX_SHOWN, Place, SecretInSnapshot, place, summary_of
from shadowgraph.versioning.files import kind_of

PRAGMA = "pragma: allowlist secret"
MIN_RANDOM_BITS = 4.3
"""Per character of a word of 32 and more. Words, paths and hexadecimal digests have less, random base64 has more."""
MIN_ASSIGNED_BITS = 3.0
"""Per character of a literal that is assigned to a secret's name: placeholders have less."""

KNOWN_FORMS: Mapping[str, tuple[str, re.Pattern[str]]] = {
    "a private key": ("PRIVATE KEY", re.compile(r"-----BEGIN [A-Z0-9 ]*PRIVATE KEY-----")),
    "a Groq key": ("gsk_", re.compile(r"\bgsk_[A-Za-z0-9]{20,}")),
    "an Anthropic key": ("sk-ant-", re.compile(r"\bsk-ant-[A-Za-z0-9_-]{20,}")),
    "an OpenAI key": ("sk-", re.compile(r"\bsk-(?!ant-)(?:proj-|svcacct-)?[A-Za-z0-9_-]{20,}")),
    "an AWS key id": ("IA", re.compile(r"\b(?:AKIA|ASIA)[0-9A-Z]{16}\b")),
    "a GitHub token": ("gh", re.compile(r"\bgh[pousr]_[A-Za-z0-9]{36,}")),
    "a GitHub token of one's own": ("github_pat_", re.compile(r"\bgithub_pat_[A-Za-z0-9_]{40,}")),
    "a GitLab token": ("glpat-", re.compile(r"\bglpat-[A-Za-z0-9_-]{20,}")),
    "a Slack token": ("xox", re.compile(r"\bxox[abeoprs]-[A-Za-z0-9-]{10,}")),
    "a Slack webhook": ("hooks.slack.com", re.compile(r"hooks\.slack\.com/services/T\w+/B\w+/\w{16,}")),
    "a Google key": ("AIza", re.compile(r"\bAIza[A-Za-z0-9_-]{35}")),
    "a Stripe key": ("k_", re.compile(r"\b[rs]k_(?:live|test)_[A-Za-z0-9]{16,}")),
    "a Hugging Face token": ("hf_", re.compile(r"\bhf_[A-Za-z0-9]{30,}")),
    "an npm token": ("npm_", re.compile(r"\bnpm_[A-Za-z0-9]{36}\b")),
    "a PyPI token": ("pypi-AgEI", re.compile(r"\bpypi-AgEI[A-Za-z0-9_-]{40,}")),
    "a SendGrid key": ("SG.", re.compile(r"\bSG\.[A-Za-z0-9_-]{16,}\.[A-Za-z0-9_-]{16,}")),
    "a LangSmith key": ("lsv2_", re.compile(r"\blsv2_(?:pt|sk)_[a-f0-9]{32}_[a-f0-9]{10}\b")),
    "a Tavily key": ("tvly-", re.compile(r"\btvly-[A-Za-z0-9-]{20,}")),
    "a Shadowgraph key": ("sg_", re.compile(r"\bsg_[A-Za-z0-9]{6,}_[A-Za-z0-9_-]{30,}")),
    "a webhook's secret": ("whsec_", re.compile(r"\bwhsec_[A-Za-z0-9+/=]{24,}")),
    "a signed token": ("eyJ", re.compile(r"\beyJ[A-Za-z0-9_-]{10,}\.eyJ[A-Za-z0-9_-]{10,}\.[A-Za-z0-9_-]{10,}")),
}
"""By what it is: letters that must stand in the text, which is quickly seen, and then the form."""
_URL_PASSWORD = re.compile(
    r"://(?P<user>[^\s:/@'\"{}<>$]{0,100}):(?P<word>[^\s@/'\"{}<>$]{3,200})@(?P<host>[^\s:/'\"]*)"
)
_LITERAL = re.compile(r"[:=]\s{0,5}[\"'](?P<word>[A-Za-z0-9_\-/+=.!@#%^&*]{12,200})[\"']")
_SECRET_NAME = re.compile(r"(?i)(?:api_?key|secret|token|passwd|password)[\"']?\s{0,5}\Z")
_NAME_CHARACTERS = 40
_RANDOM = re.compile(r"(?<![A-Za-z0-9+/=_-])(?P<word>[A-Za-z0-9+/_-]{32,200})={0,2}(?![A-Za-z0-9+/_-])")
_CHECKSUM = re.compile(r"(?:sha\d{1,3}|md5|blake2b)[-:=]")
_SEPARATOR = re.compile(r"[/_-]")
MIN_RUN = 16
"""Of a random word, without a separator; paths and names of functions are made of shorter parts."""
_LOCAL_HOSTS = frozenset({"localhost", "127.0.0.1", "[::1]"})
_NO_PASSWORDS = frozenset({"password", "pass", "passwd", "pwd", "secret"})
_PLACEHOLDER = re.compile(r"(?i)example|your|change.?me|placeholder|dummy|x{4}|\*{3}|\.{3}|redacted|insert")


def require_no_secrets(files: Mapping[str, bytes]) -> None:
    """Errors: `SecretInSnapshot` with the line of each."""
    found = [item for path in sorted(files) for item in scan(path, files[path].decode())]
    if found:
        hint = f"keep it in the environment; a line that says {PRAGMA!r} is let through"
        raise SecretInSnapshot(summary_of(found), hint=hint, errors=found[:MAX_SHOWN])


def scan(path: str, text: str) -> Iterator[Place]:
    """By line; one place for each line."""
    has_checksums = kind_of(path, prompts=(), used=()) == "dependencies"
    lines: dict[int, str] = {}
    for what, match in _matches(text, is_lock=has_checksums):
        if PRAGMA not in _line_at(text, match.start()):
            lines.setdefault(text.count("\n", 0, match.start()) + 1, what)
    for number, what in sorted(lines.items()):
        yield place(f"{path}:{number}", f"looks like {what}")


def _matches(text: str, *, is_lock: bool) -> Iterator[tuple[str, re.Match[str]]]:
    for what, (letters, form) in KNOWN_FORMS.items():
        if letters in text:
            yield from ((what, match) for match in form.finditer(text))
    yield from (("a password in an address", match) for match in _URL_PASSWORD.finditer(text) if _is_password(match))
    yield from (("a secret that is written out", match) for match in _LITERAL.finditer(text) if _is_secret(match))
    if not is_lock:
        yield from (("a long random key", match) for match in _RANDOM.finditer(text) if _is_random(match))


def _line_at(text: str, position: int) -> str:
    end = text.find("\n", position)
    return text[text.rfind("\n", 0, position) + 1 : None if end < 0 else end]


def _is_password(match: re.Match[str]) -> bool:
    word = match["word"]
    is_for_development = word == match["user"] or match["host"] in _LOCAL_HOSTS or word.lower() in _NO_PASSWORDS
    return not is_for_development and not _PLACEHOLDER.search(word)


def _is_secret(match: re.Match[str]) -> bool:
    before = match.string[max(0, match.start() - _NAME_CHARACTERS) : match.start()]
    is_named_so = _SECRET_NAME.search(before)
    return bool(is_named_so and not _PLACEHOLDER.search(match["word"]) and entropy(match["word"]) >= MIN_ASSIGNED_BITS)


def _is_random(match: re.Match[str]) -> bool:
    word = match["word"]
    kinds = (any(map(str.islower, word)), any(map(str.isupper, word)), sum(map(str.isdigit, word)) >= 2)
    is_checksum = _CHECKSUM.search(match.string[max(0, match.start() - 8) : match.start() + 8])
    has_run = max(map(len, _SEPARATOR.split(word))) >= MIN_RUN
    return all(kinds) and has_run and not is_checksum and entropy(word) >= MIN_RANDOM_BITS


def entropy(word: str) -> float:
    """Bits per character, by how often each stands in the word itself."""
    counts = Counter(word).values()
    return -sum(count / len(word) * math.log2(count / len(word)) for count in counts)
