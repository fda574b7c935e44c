"""`shadowgraph versions …` against a real server, with projects as users have them."""

import asyncio
import json
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import text

from shadowgraph.db.engine import Database
from shadowgraph.versioning.archive import write_archive
from tests.integration.cli.conftest import Terminal
from tests.support.api import ApiParts, served
from tests.support.projects import GRAPH, write_project
from tests.support.releases import Releases
from tests.support.snapshots import make_snapshot

PROMPTED = """
from shadowgraph import prompt
from langgraph.graph import END, START, StateGraph
from typing_extensions import TypedDict

class State(TypedDict):
    text: str

def greet(state: State) -> State:
    return {"text": prompt("greet").render(name=state["text"])}

def sign(state: State) -> State:
    return {"text": state["text"] + prompt("sign").render()}

builder = StateGraph(State)
builder.add_node(greet)
builder.add_node(sign)
builder.add_edge(START, "greet")
builder.add_edge("greet", "sign")
builder.add_edge("sign", END)
graph = builder.compile()
"""


@pytest.fixture
def parts(terminal: Terminal, sqlite_url: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[ApiParts]:
    """A server in a thread, which the commands find by SHADOWGRAPH_URL."""
    loop, is_up, stop = asyncio.new_event_loop(), threading.Event(), asyncio.Event()
    found: list[ApiParts] = []

    async def serve() -> None:
        database = Database(sqlite_url)
        parts = ApiParts(database, terminal.home)
        async with served(parts.services()) as client:
            monkeypatch.setenv("SHADOWGRAPH_URL", str(client.base_url))
            found.append(parts)
            is_up.set()
            await stop.wait()
        await database.close()

    thread = threading.Thread(target=lambda: loop.run_until_complete(serve()))
    thread.start()
    assert is_up.wait(20)
    yield found[0]
    loop.call_soon_threadsafe(stop.set)
    thread.join(20)
    loop.close()


@pytest.fixture
def project(tmp_path: Path) -> Path:
    files = {
        "agent.py": PROMPTED,
        "prompts/greet.md": "Dear ${name},\n",
        "prompts/sign.md": "Yours.\n",
        "logo.svg": "<svg/>",
    }
    return write_project(tmp_path / "mine", files)


def run(terminal: Terminal, *arguments: str) -> str:
    """What it says on stdout."""
    ended = terminal.run("versions", *arguments)
    assert ended.code == 0, ended.err
    return ended.out


def test_a_project_is_deployed_compared_promoted_and_rolled_back(
    terminal: Terminal, parts: ApiParts, project: Path
) -> None:
    first = run(terminal, "deploy", str(project), "-m", "first")
    (project / "prompts" / "greet.md").write_text("Hello ${name}!\n")
    second = run(terminal, "deploy", str(project), "-m", "friendlier")
    again = run(terminal, "deploy", str(project))
    compared = run(terminal, "diff", "v2")
    promoted = run(terminal, "promote", "v2", "--reason", "tests are green", "--expect", "1")
    listed = run(terminal, "list", "--workflow", "agent", "--fields", "label,state,message")
    back = run(terminal, "rollback", "--workflow", "agent")
    told = terminal.run("versions", "history", "--workflow", "agent", "--verify")

    assert first.splitlines()[0] == "v1  active  agent"
    assert "not in it: logo.svg" in first
    assert second.splitlines()[:4] == [
        "v2  draft  agent",
        "  kinds     data",
        "  needs     nothing",
        "  ~ node greet: prompts",
    ]
    assert again.splitlines()[0] == "v2  draft  agent  (there already)"
    assert compared.splitlines()[-2:] == ["~ prompt greet (prompts/greet.md)", "[-Dear-]{+Hello+} ${name}[-,-]{+!+}"]
    assert promoted == "agent  v2 active  revision 2  promote\n"
    assert listed.splitlines() == ["v2\tactive\tfriendlier", "v1\tretired\tfirst"]
    assert back == "agent  v1 active  revision 3  rollback\n"
    assert [line.split()[3:5] for line in told.out.splitlines()[1:]] == [
        ["rollback", "v1"],
        ["promote", "v2"],
        ["create", "v1"],
    ]
    assert "the chain of 3 changes is whole" in told.err


def test_in_the_folder_of_a_project_nothing_has_to_be_named(
    terminal: Terminal, parts: ApiParts, project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(project)

    run(terminal, "deploy")
    shown = json.loads(run(terminal, "show", "v1", "--json"))

    assert (shown["workflow"], shown["state"]) == ("agent", "active")
    assert set(shown["nodes"]) == {"greet", "sign"}
    assert "v1" in run(terminal, "list")


def test_the_answer_as_json_has_the_version_and_what_differs(
    terminal: Terminal, parts: ApiParts, project: Path
) -> None:
    run(terminal, "deploy", str(project))
    (project / "agent.py").write_text(PROMPTED + "# more\n")

    [made] = json.loads(run(terminal, "deploy", str(project), "--json"))["items"]

    assert (made["label"], made["is_new"], made["left_out"]) == ("v2", True, ["logo.svg"])
    assert made["diff"]["requires"] == "code worker"
    assert {node["node"] for node in made["diff"]["nodes"]} == {"greet", "sign"}
    assert made["provenance"]["shadowgraph"]


def test_each_workflow_of_a_project_becomes_a_version_of_its_own(
    terminal: Terminal, parts: ApiParts, tmp_path: Path
) -> None:
    graphs = {"one": "./agent.py:graph", "two": "./agent.py:graph"}
    directory = write_project(tmp_path / "several", {"agent.py": GRAPH}, graphs=graphs)

    both = run(terminal, "deploy", str(directory)).splitlines()
    one = run(terminal, "deploy", str(directory), "--workflow", "two").splitlines()
    ambiguous = terminal.run("versions", "show", "v1")

    assert both == ["v1  active  one", "v1  active  two"]
    assert one == ["v1  active  two  (there already)"]
    assert (ambiguous.code, "one, two" in ambiguous.err) == (2, True)
    assert "v1 of two" in run(terminal, "show", "v1", "--workflow", "two")


@pytest.mark.parametrize(
    ("files", "said"),
    [
        ({"agent.py": "import no_such_module"}, "No module named 'no_such_module'"),
        ({"agent.py": GRAPH.replace("graph = builder.compile()", "graph = 7")}, "not a graph"),
        ({"agent.py": GRAPH.replace('builder.add_edge(START, "shout")', "")}, "must have an entrypoint"),
        ({"prompts/x.md": "Use gsk_" + "aB1" * 10}, "prompts/x.md:1: looks like a Groq key"),
        ({"data.json": "1" * ((1 << 20) + 1)}, "data.json: has 1048577 bytes"),
        ({"shadowgraph.toml": "[agents.shout]\ntools = ['fly']\n"}, "there is no tool 'fly'"),
        ({"shadowgraph.toml": "[agents.shout]\nprompt = 'prompts/no.md'\n"}, "there is no file 'prompts/no.md'"),
    ],
    ids=["import", "no graph", "no edge", "secret", "huge", "tool", "prompt"],
)
def test_a_project_that_cannot_be_a_version_is_refused_with_its_place(
    terminal: Terminal, parts: ApiParts, tmp_path: Path, files: dict[str, str], said: str
) -> None:
    directory = write_project(tmp_path / "mine", {"agent.py": GRAPH, **files})

    ended = terminal.run("versions", "deploy", str(directory))

    assert (ended.code, ended.out) == (2, "")
    assert said in ended.err


def test_a_folder_without_a_project_is_refused(terminal: Terminal, parts: ApiParts, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()

    ended = terminal.run("versions", "deploy", str(tmp_path / "empty"))

    assert (ended.code, "has no langgraph.json" in ended.err) == (2, True)


def test_a_prompt_with_a_variable_that_the_code_does_not_fill_in_is_refused(
    terminal: Terminal, parts: ApiParts, project: Path
) -> None:
    run(terminal, "deploy", str(project))
    (project / "prompts" / "greet.md").write_text("Hello\n${nmae}!\n")

    ended = terminal.run("versions", "deploy", str(project))

    assert (ended.code, ended.out) == (2, "")
    assert "prompts/greet.md:2: there is no variable 'nmae'; it has name" in ended.err


def test_archives_are_exported_verified_and_imported(terminal: Terminal, parts: ApiParts, tmp_path: Path) -> None:
    archive = tmp_path / "agent.zip"
    archive.write_bytes(write_archive(make_snapshot()))

    imported = run(terminal, "import", str(archive), "-m", "from elsewhere")
    exported = terminal.run("versions", "export", "v1")
    verified = run(terminal, "verify", "agent-v1.zip")
    stored = run(terminal, "verify", "v1")
    kept = terminal.run("versions", "export", "v1", str(archive))
    archive.write_bytes(b"other")
    refused = terminal.run("versions", "export", "v1", str(archive))
    damaged = terminal.run("versions", "import", str(archive))

    assert imported.splitlines()[0] == "v1  active  agent"
    assert (exported.code, (tmp_path / "agent-v1.zip").read_bytes()) == (0, write_archive(make_snapshot()))
    assert verified.split()[1:3] == stored.split()[1:3] == ["whole", "8"]
    assert (kept.code, refused.code, damaged.code) == (0, 6, 2)
    assert "the archive cannot be read" in damaged.err


def test_what_is_damaged_on_the_server_is_told(terminal: Terminal, parts: ApiParts, tmp_path: Path) -> None:
    (tmp_path / "agent.zip").write_bytes(write_archive(make_snapshot()))
    run(terminal, "import", str(tmp_path / "agent.zip"))
    execute(parts, "UPDATE blobs SET body = x'00'")

    ended = terminal.run("versions", "verify", "v1")

    assert (ended.code, ended.out) == (1, "")
    assert "v1 of agent is damaged" in ended.err
    assert "helper.py: its content is missing or damaged" in ended.err


def test_a_history_that_was_tampered_with_is_told(terminal: Terminal, parts: ApiParts, tmp_path: Path) -> None:
    (tmp_path / "agent.zip").write_bytes(write_archive(make_snapshot()))
    run(terminal, "import", str(tmp_path / "agent.zip"))
    execute(parts, "DROP TRIGGER refuse_update_of_release_event")
    execute(parts, "UPDATE release_events SET reason = 'nothing happened'")

    ended = terminal.run("versions", "history", "--workflow", "agent", "--verify")

    assert ended.code == 1
    assert "revision 1: was changed: its hash is another" in ended.err


def execute(parts: ApiParts, statement: str) -> None:
    async def work() -> None:
        database = Database(parts.database.url)
        async with database.write() as connection:
            await connection.execute(text(statement))
        await database.close()

    asyncio.run(work())


def test_marks_are_set_and_revoking_asks_first(terminal: Terminal, parts: ApiParts) -> None:
    asyncio.run(deploy_two(parts.database.url))

    kept = run(terminal, "keep", "v1")
    run(terminal, "keep", "v1", "--off")
    run(terminal, "withdraw", "v2", "--reason", "too long")
    forced = terminal.run("versions", "promote", "v2")
    unasked = terminal.run("versions", "revoke", "v2")
    run(terminal, "revoke", "v2", "--yes", "--reason", "leaks")
    shown = run(terminal, "show", "v2")

    assert kept == "agent  v1 active  revision 2  keep\n"
    assert (forced.code, unasked.code) == (6, 6)
    assert "revoked, withdrawn" in shown
    assert "leaks" in shown


async def deploy_two(url: str) -> None:
    database = Database(url)
    await Releases(database).deploy_many(2)
    await database.close()


def test_conflicts_are_exit_6_and_unknown_versions_exit_5(terminal: Terminal, parts: ApiParts) -> None:
    asyncio.run(deploy_two(parts.database.url))

    stale = terminal.run("versions", "promote", "v2", "--expect", "7", "--json")
    unknown = terminal.run("versions", "show", "v9")
    policy = terminal.run("versions", "rollback", "--workflow", "agent", "--in-flight", "explode")

    assert (stale.code, json.loads(stale.err)["code"]) == (6, "revision_conflict")
    assert (unknown.code, policy.code) == (5, 2)
