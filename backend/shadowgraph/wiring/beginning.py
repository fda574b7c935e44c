"""Waiting until every part of a process' work has begun, or said that it cannot."""

import asyncio
from collections.abc import Iterable
from dataclasses import replace

from shadowgraph.engine.loading.errors import BadProject
from shadowgraph.wiring.children import Audience

HERE = "(here)"
"""The part that this process does itself; no project has such a name."""


class Beginning:
    def __init__(self, parts: Iterable[str], projects: Iterable[str]) -> None:
        """`projects`: names of those in worker processes."""
        self._missing = {*parts, *projects}
        self._refused: dict[str, str] = {}
        self._is_settled = asyncio.Event()
        self._settle()

    def note(self, part: str, trouble: str | None) -> None:
        """`trouble`: why it cannot."""
        self._missing.discard(part)
        if trouble is not None:
            self._refused[part] = trouble
        self._settle()

    def overhear(self, audience: Audience) -> Audience:
        """The same audience; what it is told is noted."""

        def on_begin(project: str, trouble: str | None) -> None:
            self.note(project, trouble)
            audience.on_begin(project, trouble)

        return replace(audience, on_begin=on_begin)

    async def wait(self) -> None:
        await self._is_settled.wait()

    def require_all(self) -> None:
        """Errors: `BadProject`, in the words of the first one that cannot begin."""
        for trouble in self._refused.values():
            raise BadProject(trouble)

    def _settle(self) -> None:
        if not self._missing:
            self._is_settled.set()
