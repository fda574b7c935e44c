"""What the matrix measures on its way: printed with its table, so that the numbers in the documentation can be compared."""

from collections.abc import Callable, Sequence

PROPERTY = "figure"

RecordProperty = Callable[[str, object], None]


def note_figure(record_property: RecordProperty, name: str, seconds: Sequence[float]) -> None:
    values = ", ".join(f"{value:.2f}" for value in sorted(seconds))
    record_property(PROPERTY, f"{name}: {values} s")
