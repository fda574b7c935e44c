import asyncio
import threading

from ddgs.engines import ENGINES
from ddgs.exceptions import DDGSException, TimeoutException

from shadowgraph.core.json import Json
from shadowgraph.tools.registry import ToolContext
from shadowgraph.tools.web_search import RawResults, WebSearch

CONTEXT = ToolContext(agent="researcher", idempotency_key="run_1:key")


async def _search(search: WebSearch, **arguments: Json) -> Json:
    return await search.search({"query": "python", **arguments}, CONTEXT)


def _failing(error: Exception) -> WebSearch:
    def engine(query: str, max_results: int) -> RawResults:
        raise error

    return WebSearch(engine)


async def test_results_have_title_url_and_snippet() -> None:
    search = WebSearch(lambda query, n: [{"title": query, "href": "https://python.org", "body": f"first of {n}"}])

    found = await _search(search, max_results=3)

    assert found == {
        "available": True,
        "results": [{"title": "python", "url": "https://python.org", "snippet": "first of 3"}],
    }


async def test_results_that_are_no_web_addresses_are_dropped() -> None:
    search = WebSearch(lambda query, n: [{"title": "x", "href": "javascript:alert(1)", "body": ""}])

    assert await _search(search) == {"available": True, "results": []}


async def test_long_snippets_are_cut() -> None:
    search = WebSearch(lambda query, n: [{"title": "t" * 999, "href": "https://a.example", "body": "s" * 9_999}])

    found = await _search(search)

    assert len(str(found)) < 1_000


async def test_no_results_is_not_the_same_as_no_web() -> None:
    assert await _search(_failing(DDGSException("No results found."))) == {"available": True, "results": []}


async def test_an_unreachable_engine_is_a_result_and_not_an_error() -> None:
    found = await _search(_failing(DDGSException("DNSError: error resolving DNS")))

    assert found == {"available": False, "reason": "the search engine cannot be reached from this machine"}


async def test_a_slow_engine_is_given_up() -> None:
    release = threading.Event()

    def engine(query: str, max_results: int) -> RawResults:
        release.wait(10)
        return []

    found = await _search(WebSearch(engine, timeout_seconds=0.01))
    release.set()

    assert found == {"available": False, "reason": "the search engine did not answer in time"}


async def test_the_librarys_own_time_out_is_told_the_same_way() -> None:
    found = await _search(_failing(TimeoutException("timed out")))

    assert found == {"available": False, "reason": "the search engine did not answer in time"}


async def test_a_hanging_search_does_not_occupy_the_default_executor() -> None:
    thread_names: list[str] = []

    def engine(query: str, max_results: int) -> RawResults:
        thread_names.append(threading.current_thread().name)
        return []

    await asyncio.gather(*(_search(WebSearch(engine)) for _ in range(3)))

    assert all(name.startswith("web-search") for name in thread_names)


def test_the_library_still_knows_the_engine_that_is_asked_by_name() -> None:
    """With an unknown name it would fall back to asking five engines."""
    assert "duckduckgo" in ENGINES["text"]
