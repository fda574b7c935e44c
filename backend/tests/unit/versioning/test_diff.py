from dataclasses import asdict, replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shadowgraph.core.agent_settings import AgentSettings
from shadowgraph.versioning.diff import Diff, FileChange, NodeChange, compare, texts_needed
from shadowgraph.versioning.manifest import Edge
from shadowgraph.versioning.snapshot import Snapshot
from shadowgraph.versioning.words import MAX_WORDS, Span, compare_words
from tests.support.snapshots import GRAPH, SEARCH, make_snapshot


def diff(before: Snapshot, after: Snapshot) -> Diff:
    bodies = {**before.blobs, **after.blobs}
    needed = texts_needed(before.manifest, after.manifest)
    return compare(before.manifest, after.manifest, {digest: bodies[digest].decode() for digest in needed})


def test_a_snapshot_does_not_differ_from_itself() -> None:
    found = diff(make_snapshot(), make_snapshot())

    assert (found.facets, found.nodes, found.files, found.prompts, found.requires) == ([], [], [], [], "nothing")


def test_an_edited_prompt_changes_its_node_alone_word_by_word() -> None:
    found = diff(make_snapshot(), make_snapshot({"prompts/write.md": "You write briefly.\n"}))

    assert found.facets == ["data"]
    assert found.nodes == [NodeChange("write", "changed", ["prompts"])]
    assert found.files == [FileChange("prompts/write.md", "changed", "data")]
    assert [(change.name, change.change) for change in found.prompts] == [("write", "changed")]
    assert found.prompts[0].words == [Span("same", "You write"), Span("added", " briefly"), Span("same", ".\n")]
    assert found.requires == "nothing"


def test_added_and_removed_prompts_are_whole() -> None:
    added = diff(make_snapshot(), make_snapshot({"prompts/new.md": "New."})).prompts
    removed = diff(make_snapshot({"prompts/new.md": "New."}), make_snapshot()).prompts

    assert [(change.change, list(change.words)) for change in (*added, *removed)] == [
        ("added", [Span("added", "New.")]),
        ("removed", [Span("removed", "New.")]),
    ]


def test_a_text_that_was_collected_has_no_words() -> None:
    before, after = make_snapshot(), make_snapshot({"prompts/write.md": "Other.\n"})

    assert [change.words for change in compare(before.manifest, after.manifest, {}).prompts] == [[]]


def test_parameters_and_tools_are_compared_value_by_value() -> None:
    before = make_snapshot(agents={"write": AgentSettings(temperature=0.2, tools=("draw",))})
    after = make_snapshot(
        agents={"write": AgentSettings(temperature=0.5, tools=("draw",)), "plan": AgentSettings(max_tokens=5)},
        tools={"search": replace(SEARCH, effect="write"), "draw": SEARCH},
    )

    found = diff(before, after)

    assert [(change.name, change.key, change.before, change.after) for change in found.parameters] == [
        ("plan", "max_tokens", None, 5),
        ("write", "temperature", "0.2", "0.5"),
    ]
    assert ("search", "effect", "read", "write") in [
        (change.name, change.key, change.before, change.after) for change in found.tools
    ]


def test_nodes_and_edges_are_compared() -> None:
    edge = Edge("plan", "__end__", True)
    after = replace(GRAPH, edges=(*GRAPH.edges[:-1], edge), output_schema={"type": "array"})

    found = diff(make_snapshot(), make_snapshot(graph=after)).graph

    assert (list(found.edges_added), list(found.edges_removed)) == ([edge], [GRAPH.edges[-1]])
    assert (found.input_schema, found.output_schema) == (False, True)


@pytest.mark.parametrize(
    ("changes", "fields", "requires"),
    [
        ({"README.md": "Other.\n"}, {}, "nothing"),
        ({"prompts/plan.md": "Other ${task}\n"}, {}, "nothing"),
        ({"helper.py": "X = 3\n"}, {}, "code worker"),
        ({"requirements.txt": "other\n"}, {}, "new environment"),
        ({"helper.py": "X = 3\n", "requirements.txt": "other\n"}, {}, "new environment"),
        ({}, {"requires_python": ">=3.13"}, "new environment"),
        ({}, {"requirements": ["numpy"]}, "new environment"),
        ({}, {"environment": ["MODE"]}, "code worker"),
    ],
)
def test_what_it_takes_to_run_the_other_is_said(
    changes: dict[str, str | None], fields: dict[str, Any], requires: str
) -> None:
    assert diff(make_snapshot(), make_snapshot(changes, **fields)).requires == requires


WORDS = st.lists(st.sampled_from(["You", "write", "plan", " ", "\n", ".", "é", "long-word"]), max_size=20).map("".join)


@given(WORDS, WORDS)
def test_both_texts_can_be_read_out_of_their_difference(before: str, after: str) -> None:
    spans = compare_words(before, after)

    assert "".join(span.text for span in spans if span.change != "added") == before
    assert "".join(span.text for span in spans if span.change != "removed") == after


def test_long_texts_are_compared_line_by_line() -> None:
    before = "word " * MAX_WORDS + "\nlast line\n"

    spans = compare_words(before, before.replace("last line", "last row"))

    assert [asdict(span) for span in spans[1:]] == [
        {"change": "removed", "text": "last line\n"},
        {"change": "added", "text": "last row\n"},
    ]
