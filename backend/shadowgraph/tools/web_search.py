"""Web search by DuckDuckGo. Without the web it answers that there is none; it never fails a run."""

import asyncio
import logging
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from ddgs import DDGS
from ddgs.exceptions import DDGSException, TimeoutException

from shadowgraph.core.json import Json, JsonObject
from shadowgraph.tools.registry import ToolContext

logger = logging.getLogger(__name__)

REQUEST_TIMEOUT_SECONDS = 3
"""Of the request to the search engine; after it the search counts as unavailable."""
SEARCH_TIMEOUT_SECONDS = 6.0
"""Of the whole search. The library waits for its own threads, so a black-holed network can cost twice the request's time-out."""
MAX_PARALLEL_SEARCHES = 4
MAX_TITLE_CHARACTERS = 200
MAX_SNIPPET_CHARACTERS = 600

RawResults = Sequence[Mapping[str, Any]]
Engine = Callable[[str, int], RawResults]
"""(query, how many) → results with `title`, `href`, `body`. Blocks, and raises `DDGSException`."""


class WebSearch:
    """Has threads of its own: a search that hangs in the loop's default executor would hold up the end of the process."""

    def __init__(self, engine: Engine | None = None, *, timeout_seconds: float = SEARCH_TIMEOUT_SECONDS) -> None:
        self._engine = engine or _duckduckgo
        self._timeout_seconds = timeout_seconds
        self._threads = ThreadPoolExecutor(MAX_PARALLEL_SEARCHES, thread_name_prefix="web-search")

    async def search(self, arguments: JsonObject, context: ToolContext) -> Json:
        """`{"available": true, "results": [{title, url, snippet}]}` or `{"available": false, "reason": …}`."""
        work = asyncio.get_running_loop().run_in_executor(
            self._threads, self._engine, str(arguments["query"]), int(str(arguments.get("max_results", 5)))
        )
        try:
            async with asyncio.timeout(self._timeout_seconds):
                raw = await work
        except (TimeoutError, TimeoutException):
            return _unavailable("the search engine did not answer in time")
        except DDGSException as error:
            return _answer_to(error)
        return {"available": True, "results": [result for item in raw if (result := _result(item))]}


def _duckduckgo(query: str, max_results: int) -> RawResults:
    """One engine by name: the library's default would send the query to five."""
    found: RawResults = DDGS(timeout=REQUEST_TIMEOUT_SECONDS).text(query, backend="duckduckgo", max_results=max_results)
    return found


def _result(item: Mapping[str, Any]) -> JsonObject | None:
    url = str(item.get("href", ""))
    if not url.startswith(("https://", "http://")):
        return None
    return {
        "title": str(item.get("title", ""))[:MAX_TITLE_CHARACTERS],
        "url": url,
        "snippet": str(item.get("body", ""))[:MAX_SNIPPET_CHARACTERS],
    }


def _answer_to(error: DDGSException) -> Json:
    """The library has one exception for an empty answer and for a broken line; only the text tells them apart."""
    if "no results found" in str(error).lower():
        return {"available": True, "results": []}
    logger.info("web search failed: %s", str(error)[:500])
    return _unavailable("the search engine cannot be reached from this machine")


def _unavailable(reason: str) -> Json:
    return {"available": False, "reason": reason}
