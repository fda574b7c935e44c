import json
from typing import Any

from shadowgraph.llm.offline.findings import Findings, Source, read_findings
from shadowgraph.llm.offline.messages import read_conversation

PAGE = {"title": "Graz", "url": "https://example.org/graz", "snippet": "A city."}


def findings_in(text: str) -> Findings:
    return read_findings(read_conversation([{"role": "user", "content": f"<request>q</request>\n{text}"}]))


def findings_of_tool(content: Any) -> Findings:
    text = content if isinstance(content, str) else json.dumps(content)
    return read_findings(
        read_conversation([{"role": "user", "content": "q"}, {"role": "tool", "name": "t", "content": text}])
    )


def test_sources_are_read_from_lists_in_the_usual_shapes() -> None:
    expected = (Source("Graz", "https://example.org/graz", "A city."),)

    assert findings_of_tool([PAGE]).sources == expected
    assert findings_of_tool({"available": True, "results": [PAGE]}).sources == expected
    assert findings_of_tool([{"title": "Graz", "href": PAGE["url"], "body": "A city."}]).sources == expected
    assert findings_in(f"<search_results>{json.dumps([PAGE])}</search_results>").sources == expected
    assert findings_in(f"<notes>{json.dumps({'summary': 's', 'sources': [PAGE]})}</notes>").sources == expected


def test_sources_are_read_from_lines_with_addresses() -> None:
    found = findings_in("<search_results>\n- Graz (https://example.org/graz): A city.\n- nothing\n</search_results>")

    assert found.sources == (Source("Graz", "https://example.org/graz", "A city."),)


def test_a_search_that_was_not_possible_has_its_reason() -> None:
    found = findings_of_tool({"available": False, "reason": "no network"})

    assert found.unavailable == "no network"
    assert found.has_search_result


def test_other_results_are_quoted() -> None:
    assert findings_of_tool("It is sunny.").results == ("It is sunny.",)
    assert findings_of_tool({"result": 3}).results == ('{"result": 3}',)


def test_the_outcome_of_tests_and_the_written_files_are_found() -> None:
    found = findings_in(
        '<files>[{"path": "app/game.py"}, {"path": "README.md"}]</files>'
        '<checks>{"status": "passed", "summary": "tests: 7 passed"}</checks>'
    )

    assert found.paths == ("app/game.py", "README.md")
    assert found.test_outcome == "tests: 7 passed"


def test_nothing_found_is_nothing() -> None:
    assert findings_in("<search_results>[]</search_results><checks></checks>") == Findings()
