"""Text on its way to those who watch."""

import logging
from collections.abc import Mapping

from shadowgraph.core.calls import DeltaSink, LlmRequest

logger = logging.getLogger(__name__)


class Deltas:
    """A sink that may be absent or fail: watching is a courtesy, and no answer is lost for it."""

    def __init__(self, sink: DeltaSink | None) -> None:
        self._sink = sink
        self._sent = False

    async def send(self, text: str) -> None:
        if self._sink is None or not text:
            return
        self._sent = True
        try:
            await self._sink(text)
        except Exception:  # noqa: BLE001 - foreign code; a lost lease shows itself again when the answer is recorded
            self._give_up()

    async def restart(self) -> None:
        """Before another attempt; silent when nothing was sent."""
        if self._sink is None or not self._sent:
            return
        self._sent = False
        try:
            await self._sink.restart()
        except Exception:  # noqa: BLE001 - as above
            self._give_up()

    def _give_up(self) -> None:
        logger.warning("nobody gets the live text of this answer any more", exc_info=True)
        self._sink = None


def emits_deltas(request: LlmRequest) -> bool:
    """Answers that are forced into a shape are for programs, not for people who watch."""
    forces_a_tool = request.tool_choice == "required" or isinstance(request.tool_choice, Mapping)
    return request.output_schema is None and not forces_a_tool
