"""What tools found out, read from tool messages and from quoted sections of a prompt: sources, plain results, a search that failed."""

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from shadowgraph.llm.offline.messages import Conversation, Section

MAX_SOURCES = 8
MAX_QUOTE = 280
"""Characters of one result that are quoted."""
_SEARCH_TAG = re.compile(r"search|results?$|sources?$|evidence|findings?")
_NOTES_TAG = re.compile(r"notes$|research$")
_TEST_TAG = re.compile(r"test|check|outcome|sandbox")
_FILE_TAG = re.compile(r"files?$|artifacts?$")
_URL = re.compile(r"https?://[^\s<>\"')\]}]+")
_PATH = re.compile(r"(?<![\w/.-])[\w-]+(?:/[\w.-]+)*\.(?:py|md|csv|tsx|ts|css|json|txt|html)\b")


@dataclass(frozen=True, slots=True)
class Source:
    title: str
    url: str
    text: str


@dataclass(frozen=True, slots=True)
class Findings:
    sources: tuple[Source, ...] = ()
    results: tuple[str, ...] = ()
    """Of tools whose result is no list of sources, as short text."""
    unavailable: str | None = None
    """Why a search could not be made."""
    test_outcome: str | None = None
    paths: tuple[str, ...] = ()
    """Files that were really written, when the prompt says which."""

    @property
    def has_search_result(self) -> bool:
        return bool(self.sources) or self.unavailable is not None


def read_findings(conversation: Conversation) -> Findings:
    found = [_parse(result.text) for result in conversation.results]
    found += [_parse(text) for text in _texts(conversation.sections, _SEARCH_TAG)]
    noted = [_parse(text) for text in _texts(conversation.sections, _NOTES_TAG)]
    sources = [source for value in (*found, *noted) for source in _sources_in(value)]
    reasons = [reason for value in found if (reason := _reason_in(value))]
    plain = [_shorten(_as_text(value)) for value in found if value and not _sources_in(value) and not _reason_in(value)]
    outcomes = [_outcome(_parse(text)) for text in _texts(conversation.sections, _TEST_TAG)]
    return Findings(
        sources=tuple(dict.fromkeys(sources))[:MAX_SOURCES],
        results=tuple(plain)[:MAX_SOURCES],
        unavailable=reasons[0] if reasons else None,
        test_outcome=next((outcome for outcome in reversed(outcomes) if outcome), None),
        paths=_paths_in(_texts(conversation.sections, _FILE_TAG)),
    )


def _texts(sections: Sequence[Section], tag: re.Pattern[str]) -> list[str]:
    return [section.text for section in sections if tag.search(section.tag)]


def _parse(text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return text


def _sources_in(value: Any) -> list[Source]:
    if isinstance(value, str):
        return [source for line in value.splitlines() if (source := _source_in_line(line))]
    if isinstance(value, Mapping):
        lists = [value[name] for name in ("results", "sources", "items", "data") if isinstance(value.get(name), list)]
        return _sources_in(lists[0]) if lists else [source for source in [_source_of(value)] if source]
    if isinstance(value, list):
        return [source for item in value if isinstance(item, Mapping) and (source := _source_of(item))]
    return []


def _source_of(item: Mapping[str, Any]) -> Source | None:
    url = _first_text(item, ("url", "href", "link"))
    if not url:
        return None
    title = _first_text(item, ("title", "name")) or url
    return Source(
        _shorten(title),
        url,
        _shorten(_first_text(item, ("snippet", "body", "text", "content", "description", "summary"))),
    )


def _source_in_line(line: str) -> Source | None:
    found = _URL.search(line)
    if not found:
        return None
    before, after = line[: found.start()].strip(" -*•([:"), line[found.end() :].strip(" )]:-")
    return Source(_shorten(before) or found[0], found[0].rstrip(".,;"), _shorten(after))


def _reason_in(value: Any) -> str | None:
    if isinstance(value, Mapping) and value.get("available") is False:
        return _shorten(str(value.get("reason") or value.get("error") or "no reason was given"))
    return None


def _outcome(value: Any) -> str:
    """One line; of a JSON object its summary."""
    if isinstance(value, Mapping):
        return _shorten(_first_text(value, ("summary", "outcome", "result", "message")))
    return _shorten(_as_text(value))


def _paths_in(texts: Iterable[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(path for text in texts for path in _PATH.findall(text)))


def _first_text(item: Mapping[str, Any], names: Sequence[str]) -> str:
    return next((value for name in names if isinstance(value := item.get(name), str) and value), "")


def _as_text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _shorten(text: str) -> str:
    flat = " ".join(text.split())
    return flat if len(flat) <= MAX_QUOTE else f"{flat[: MAX_QUOTE - 2]} …"
