"""How much something is."""

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Amount:
    rows: int = 0
    bytes: int = 0
    """Of the bodies; what a database needs around them is not counted."""

    def __add__(self, other: "Amount") -> "Amount":
        return Amount(self.rows + other.rows, self.bytes + other.bytes)


Removed = Mapping[str, Amount]
"""By kind, such as `payloads`."""


def add_up(*parts: Removed) -> dict[str, Amount]:
    total: dict[str, Amount] = defaultdict(Amount)
    for part in parts:
        for kind, amount in part.items():
            total[kind] += amount
    return dict(total)
