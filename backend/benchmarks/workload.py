"""What the benchmarks of the five-node graph ask of it, and of the same graph bare."""

WORKFLOW = "five"
SUBMITTERS = 100
GOLDEN = 0.6180339887
"""Its multiples fill an interval evenly, in whatever number they come."""


def seconds_of(n: int, bounds: list[float]) -> float:
    """How long each answer of the n-th run takes: `bounds` is one number, or the ends of an interval."""
    low, high = bounds[0], bounds[-1]
    return low + (high - low) * (n * GOLDEN % 1)
