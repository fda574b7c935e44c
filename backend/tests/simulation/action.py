"""One step of a schedule, as a value that can be written down and read again: `a.poll`, `b.step.r1!3`, `second`, `a.step.r2?[second b.poll]`."""

import re
from collections.abc import Sequence
from dataclasses import dataclass

_SHAPE = re.compile(
    r"(?:(?P<who>[ab])\.)?(?P<verb>[a-z]+)(?:\.(?P<run>r\d+))?(?P<mark>[!~?]?)(?P<at>\d*)(?:\[(?P<others>[^\]]*)\])?"
)
_WORDS = re.compile(r"[^\s\[]+(?:\[[^\]]*\])?")


@dataclass(frozen=True, slots=True)
class Action:
    verb: str
    who: str = ""
    """A worker; empty for the others, of which there is one each."""
    run: str = ""
    mark: str = ""
    """`!`: its process is killed. `~`: its connection is cut once. `?`: the answer to its first commit is lost."""
    at: int = 0
    """Before which statement the first two happen."""
    meanwhile: tuple["Action", ...] = ()
    """What others do between the commit and the loss of its answer."""

    def __str__(self) -> str:
        name = ".".join(filter(None, (self.who, self.verb, self.run)))
        others = f"[{' '.join(map(str, self.meanwhile))}]" if self.meanwhile else ""
        return f"{name}{self.mark}{self.at or ''}{others}"


def read_schedule(text: str) -> list[Action]:
    """Errors: `ValueError`."""
    return [_read(word) for word in _WORDS.findall(text)]


def write_schedule(actions: Sequence[Action]) -> str:
    return " ".join(map(str, actions))


def _read(word: str) -> Action:
    found = _SHAPE.fullmatch(word)
    if found is None:
        raise ValueError(f"not an action: {word!r}")
    others = tuple(read_schedule(found["others"] or ""))
    return Action(found["verb"], found["who"] or "", found["run"] or "", found["mark"], int(found["at"] or 0), others)
