"""One function that the offline model knows how to write."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Recipe:
    name: str
    """Of the function and of its module."""
    words: str
    """Regular expression, lower case, that finds it in a request."""
    does: str
    """One line for people."""
    source: str
    """The function as Python source, imports included."""
    cases: str
    """Source lines `((arguments…), expected),`."""
    refused: str = ""
    """Source lines `((arguments…), ErrorClass),`; empty when every input is fine."""
    laws: str = ""
    """Source of further test methods: what holds for many inputs."""
