"""Which providers there are, and what each needs before it can be asked. Knows none of their libraries."""

from collections.abc import Mapping
from dataclasses import dataclass
from importlib.util import find_spec

from shadowgraph.core.settings import OFFLINE, Settings


@dataclass(frozen=True, slots=True)
class KnownProvider:
    needs: str
    """Setting that makes it usable."""
    library: str
    extra: str = ""
    """Of this package, when the library is not always installed."""


KNOWN: Mapping[str, KnownProvider] = {
    "groq": KnownProvider("GROQ_API_KEY", "langchain_groq"),
    "openai_compatible": KnownProvider("OPENAI_API_KEY, or OPENAI_API_BASE of a server", "langchain_openai"),
    "anthropic": KnownProvider("ANTHROPIC_API_KEY", "langchain_anthropic", extra="anthropic"),
}


def providers_set_up(settings: Settings) -> tuple[str, ...]:
    return tuple(name for name in KNOWN if what_is_missing(name, settings) is None)


def what_is_missing(name: str, settings: Settings) -> str | None:
    """What to do before this provider can be asked; None: it can be."""
    if name == OFFLINE:
        return "the offline model answers only where no target of a route has a key"
    known = KNOWN.get(name)
    if known is None:
        return f"there is no such provider; there are: {', '.join(KNOWN)}"
    if name not in settings.keyed_providers:
        return f"set {known.needs}"
    if find_spec(known.library) is None:
        return f"install its library: pip install 'shadowgraph[{known.extra}]'"
    return None
