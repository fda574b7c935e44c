"""What a snapshot's digest stands for, and what each change of a project changes in it."""

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shadowgraph.core.agent_settings import AgentSettings
from shadowgraph.core.json import canonical, sha256
from shadowgraph.versioning.checking import check_blobs, check_rules
from shadowgraph.versioning.errors import InvalidSnapshot, SecretInSnapshot
from shadowgraph.versioning.files import GRAPHS_FILE, PARAMETERS_FILE
from shadowgraph.versioning.manifest import FORMAT, Manifest, Uses, decode, digest_of, encode, freeze, load
from shadowgraph.versioning.rendering import GraphFile, read_graph_file
from shadowgraph.versioning.snapshot import Snapshot
from tests.support.snapshots import FILES, GRAPH, SEARCH, USES, make_snapshot

CODER = AgentSettings(model="groq:some-model", temperature=0.2, max_tokens=100, tools=("draw",))


def facets_changed(before: Snapshot, after: Snapshot) -> set[str]:
    return {name for name, digest in before.manifest.facets.items() if after.manifest.facets[name] != digest}


def nodes_changed(before: Snapshot, after: Snapshot) -> set[str]:
    return {name for name, digest in before.manifest.nodes.items() if after.manifest.nodes.get(name) != digest}


def places(raised: pytest.ExceptionInfo[Any]) -> list[str]:
    return [error["pointer"] for error in raised.value.facts["errors"]]


@given(st.permutations(sorted(FILES)))
@settings(max_examples=20)
def test_the_order_of_files_means_nothing(order: list[str]) -> None:
    shuffled = make_snapshot({path: FILES[path] for path in order})

    assert shuffled.digest == make_snapshot().digest


def test_the_digest_is_that_of_the_canonical_manifest() -> None:
    snapshot = make_snapshot()

    assert snapshot.digest == sha256(encode(snapshot.manifest)) == digest_of(snapshot.manifest)
    assert snapshot.manifest.format == FORMAT


def test_the_digest_of_a_known_project_never_changes() -> None:
    """If it does, the format has changed: raise its number."""
    assert make_snapshot().digest == "76304a29773f057130ee687804dc11fe3b037c1903b610b6dd22eaccf36c9381"


@pytest.mark.parametrize(
    ("changes", "facets", "nodes"),
    [
        ({"prompts/write.md": "You write briefly.\n"}, {"data"}, {"write"}),
        ({"prompts/plan.md": "Plan ${task}!\n"}, {"data"}, {"plan"}),
        ({"prompts/other.md": "Whose is it?\n"}, {"data"}, {"plan", "write"}),
        ({"helper.py": "X = 2\n"}, {"code"}, {"plan"}),
        ({"nodes.py": "import helper, sys\n"}, {"code"}, {"plan", "write"}),
        ({"graph.py": "# nobody imports it\n"}, {"code"}, {"plan", "write"}),
        ({"data.json": "{}\n"}, {"code"}, {"plan", "write"}),
        ({"README.md": "Other words.\n"}, {"inert"}, set()),
        ({"requirements.txt": "langgraph>=1\n"}, {"dependencies"}, set()),
        ({"docs/how.md": "So.\n", "tests/test_x.py": "\n"}, {"inert"}, set()),
    ],
)
def test_a_change_of_a_file_is_one_of_its_kind_and_of_the_nodes_that_use_it(
    changes: dict[str, str | None], facets: set[str], nodes: set[str]
) -> None:
    before, after = make_snapshot(), make_snapshot(changes)

    assert before.digest != after.digest
    assert facets_changed(before, after) == facets
    assert nodes_changed(before, after) == nodes


def test_a_change_of_parameters_is_one_of_data_and_of_the_node_that_asks_by_that_name() -> None:
    before, after = (
        make_snapshot(agents={"write": CODER}),
        make_snapshot(agents={"write": replace(CODER, max_tokens=9)}),
    )

    assert facets_changed(before, after) == {"data"}
    assert nodes_changed(before, after) == {"write"}


def test_what_cannot_be_told_of_a_node_makes_every_change_one_of_it() -> None:
    unknown = {**USES, "plan": Uses(tools=())}
    before, after = make_snapshot(uses=unknown), make_snapshot({"prompts/write.md": "Other.\n"}, uses=unknown)

    assert nodes_changed(before, after) == {"plan", "write"}


def test_the_graph_and_a_tool_of_ones_own_have_facets_of_their_own() -> None:
    before = make_snapshot()
    drawn = make_snapshot(graph=replace(GRAPH, edges=GRAPH.edges[:-1]))
    tooled = make_snapshot(tools={"search": SEARCH, "mine": replace(SEARCH, origin="own", effect="write")})

    assert facets_changed(before, drawn) == {"graph"}
    assert facets_changed(before, tooled) == {"tools"}


def test_registered_tools_that_nobody_names_may_come_and_go() -> None:
    assert make_snapshot().digest == make_snapshot(tools={"search": SEARCH}).digest
    assert facets_changed(make_snapshot(), make_snapshot(tools={"search": replace(SEARCH, description="!")})) == {
        "runtime"
    }


def test_parameters_stand_in_a_file_of_the_snapshots_own() -> None:
    snapshot = make_snapshot(agents={"write": CODER, 'a "b"': AgentSettings(prompt="prompts/plan.md")})

    assert snapshot.bodies[PARAMETERS_FILE].decode() == (
        '[agents."a \\"b\\""]\nprompt = "prompts/plan.md"\n\n'
        '[agents."write"]\nmax_tokens = 100\nmodel = "groq:some-model"\ntemperature = 0.2\ntools = ["draw"]\n'
    )
    assert snapshot.manifest.agents["write"].temperature == "0.2"
    assert PARAMETERS_FILE not in make_snapshot().manifest.files
    assert set(snapshot.manifest.prompts) == {"plan", "write", 'a "b"'}


def test_langgraph_json_keeps_its_one_workflow() -> None:
    body = make_snapshot().bodies[GRAPHS_FILE]

    assert read_graph_file(body) == GraphFile("agent", "./graph.py:graph", (".",))
    for other in (b"", b"{}\n", b"[]", body.replace(b":", b": "), b'{"dependencies":[],"graphs":{}}\n', b"\xff"):
        with pytest.raises(ValueError, match=r"workflow|JSON|decode|Expecting"):
            read_graph_file(other)


@pytest.mark.parametrize(
    ("agents", "place"),
    [
        ({"write": AgentSettings(prompt="prompts/none.md")}, PARAMETERS_FILE),
        ({"write": AgentSettings(prompt="nodes.py")}, PARAMETERS_FILE),
        ({"write": AgentSettings(tools=("fly",))}, PARAMETERS_FILE),
    ],
)
def test_parameters_that_name_what_is_not_there_are_refused(agents: dict[str, AgentSettings], place: str) -> None:
    with pytest.raises(InvalidSnapshot) as raised:
        make_snapshot(agents=agents)

    assert places(raised) == [place]


def test_a_secret_in_a_prompt_is_refused_with_its_line() -> None:
    with pytest.raises(SecretInSnapshot) as raised:
        make_snapshot({"prompts/write.md": "Hello\nUse gsk_" + "aB1" * 10 + "\n"})

    assert places(raised) == ["prompts/write.md:2"]


def test_names_that_differ_by_case_alone_are_refused() -> None:
    with pytest.raises(InvalidSnapshot) as raised:
        make_snapshot({"Helper.py": "Y = 1\n"})

    assert set(places(raised)) == {"Helper.py", "helper.py"}


def test_an_empty_project_has_a_snapshot_of_its_graph() -> None:
    snapshot = make_snapshot(dict.fromkeys(FILES), uses={node: Uses() for node in USES})

    assert set(snapshot.manifest.files) == {GRAPHS_FILE}
    assert list(check_rules(snapshot.manifest, snapshot.bodies)) == []


# --- verifying ------------------------------------------------------------------------------------------------------------------


def test_a_manifest_is_the_same_after_it_was_written_and_read() -> None:
    manifest = make_snapshot(agents={"write": CODER}).manifest

    assert decode(encode(manifest)) == manifest
    assert load(manifest.to_json()) == manifest


@given(st.data())
@settings(max_examples=150)
def test_any_changed_byte_of_a_manifest_is_found(data: st.DataObject) -> None:
    snapshot = make_snapshot(agents={"write": CODER})
    body = bytearray(encode(snapshot.manifest))
    position = data.draw(st.integers(0, len(body) - 1))
    body[position] = data.draw(st.integers(0, 255).filter(lambda byte: byte != body[position]))

    assert is_found(bytes(body), snapshot)


def is_found(body: bytes, snapshot: Snapshot) -> bool:
    """By the reader, by the rules, or by the digest at the latest."""
    try:
        manifest = decode(body)
    except InvalidSnapshot:
        return True
    return digest_of(manifest) != snapshot.digest


@given(st.data())
@settings(max_examples=60)
def test_any_changed_byte_of_a_file_is_found(data: st.DataObject) -> None:
    snapshot = make_snapshot()
    path = data.draw(st.sampled_from(sorted(snapshot.manifest.files)))
    digest = snapshot.manifest.files[path].digest
    body = bytearray(snapshot.blobs[digest])
    position = data.draw(st.integers(0, len(body) - 1))
    body[position] ^= data.draw(st.integers(1, 255))

    problems = list(check_blobs(snapshot.manifest, {**snapshot.blobs, digest: bytes(body)}))

    assert [problem["pointer"] for problem in problems] == [path]


def test_missing_and_foreign_files_are_found() -> None:
    snapshot = make_snapshot()
    digest = snapshot.manifest.files["helper.py"].digest
    others = {name: body for name, body in snapshot.blobs.items() if name != digest}

    problems = list(check_blobs(snapshot.manifest, {**others, "f" * 64: b"x"}))

    assert [problem["pointer"] for problem in problems] == ["helper.py", "f" * 64]


def tampered(snapshot: Snapshot, **fields: Any) -> Manifest:
    return replace(snapshot.manifest, **fields)


@pytest.mark.parametrize(
    "fields",
    [
        {"facets": {"code": "0" * 64}},
        {"nodes": {"plan": "0" * 64}},
        {"prompts": {}},
        {"uses": {**USES, "more": Uses()}},
        {"workflow": "other"},
        {"agents": {"write": load(make_snapshot(agents={"write": CODER}).manifest.to_json()).agents["write"]}},
    ],
)
def test_what_a_manifest_derives_is_derived_anew(fields: dict[str, Any]) -> None:
    snapshot = make_snapshot()

    assert list(check_rules(tampered(snapshot, **fields), snapshot.bodies))


def test_code_cannot_pass_as_a_prompt() -> None:
    """Prompts are data, and whoever may change data may not change code."""
    snapshot = make_snapshot()
    disguised = replace(snapshot.manifest.prompts["write"], path="nodes.py", variables=())

    assert list(check_rules(tampered(snapshot, prompts={"write": disguised}), snapshot.bodies))


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{}",
        b"[]",
        b"null",
        b'{"format":1}',
        b"[" * 100_000,
        b'{"a":' * 100_000,
        b"\xff",
        b" " * (5 << 20),
    ],
)
def test_bytes_that_are_no_manifest_are_refused(body: bytes) -> None:
    with pytest.raises(InvalidSnapshot):
        decode(body)


@pytest.mark.parametrize("change", [b" ", b"\n"])
def test_a_manifest_in_another_form_is_refused(change: bytes) -> None:
    with pytest.raises(InvalidSnapshot, match="canonical"):
        decode(encode(make_snapshot().manifest) + change)


def test_a_manifest_of_another_format_is_refused() -> None:
    body = encode(replace(make_snapshot().manifest, format="shadowgraph/snapshot@2"))

    with pytest.raises(InvalidSnapshot, match="snapshot@2"):
        decode(body)


def test_numbers_with_a_point_in_a_manifest_are_refused() -> None:
    graph = replace(GRAPH, input_schema={"minimum": 0.5})
    body = encode(replace(make_snapshot().manifest, graph=graph))

    with pytest.raises(InvalidSnapshot, match="canonical"):
        decode(body)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters(exclude_categories=["Cs"])),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text("abé", max_size=2), inner, max_size=3),
    max_leaves=8,
)


@given(JSON)
def test_a_frozen_value_is_written_in_one_way_and_freezing_it_again_changes_nothing(value: Any) -> None:
    frozen = freeze(value)

    assert freeze(frozen) == frozen
    assert b"." not in canonical(frozen) or "." in str(frozen)
    assert not any(isinstance(item, float) for item in flat(frozen))


def flat(value: Any) -> list[Any]:
    if isinstance(value, dict):
        return [item for inner in value.values() for item in flat(inner)]
    return [item for inner in value for item in flat(inner)] if isinstance(value, list) else [value]
