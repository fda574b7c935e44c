"""Foreign projects served by the installed wheel, in environments of their own into which everything was really installed."""

import asyncio
import os
import shutil
import subprocess
import time
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any, Literal

import httpx
import pytest

from tests.chaos.figures import PROPERTY, RecordProperty
from tests.chaos.matrix import whole_matrix
from tests.e2e.conftest import settings_for
from tests.support.deployments import ENDED, Kind, submit, wait_for_status
from tests.support.environments import Environment, build_package, build_wheel, find_uv, make_environment, serving
from tests.support.foreign_kinds import (
    CALLS,
    FOREIGN,
    INPUTS,
    answer,
    begin,
    output_of,
    wait_until_served,
)
from tests.support.offline import offline_server
from tests.support.processes import BACKEND, free_port
from tests.support.projects import write_project
from tests.support.waiting import wait_until

pytestmark = [whole_matrix, pytest.mark.xdist_group("installed_wheel"), pytest.mark.timeout(300)]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_wheel(BACKEND, tmp_path_factory.mktemp("wheel"))


def variables(environment: Environment, home: Path, **more: str) -> dict[str, str]:
    """What somebody's shell has who works in that environment."""
    return {"PATH": f"{environment.folder / 'bin'}:{os.environ['PATH']}", "HOME": str(home), **more}


async def wait_until_answering(client: httpx.AsyncClient, path: str = "/healthz") -> None:
    async def is_answering() -> bool:
        with suppress(httpx.TransportError):
            return (await client.get(path)).is_success
        return False

    await wait_until(is_answering, timeout_seconds=90, what=f"{path} to be answered")


# --- all kinds of graphs --------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory, wheel: Path) -> Environment:
    """Of the foreign graphs: they bring LangChain."""
    made = make_environment(tmp_path_factory.mktemp("installed") / "venv")
    made.install(wheel, "langchain")
    return made


@pytest.mark.parametrize("database", ["embedded", "postgresql"])
async def test_foreign_graphs_end_as_without_us(
    request: pytest.FixtureRequest, environment: Environment, plain_results: Any, tmp_path: Path, database: Kind
) -> None:
    project, port = tmp_path / "foreign", free_port()
    shutil.copytree(FOREIGN, project, ignore=shutil.ignore_patterns("__pycache__"))
    with offline_server() as provider:
        model = {"GROQ_API_KEY": "any", "GROQ_BASE_URL": provider}
        env = variables(environment, tmp_path, PORT=str(port), **model, **settings_for(database, request))
        with serving([environment.command, "up"], cwd=project, env=env, log=tmp_path / "up.log"):
            async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", timeout=70) as client:
                await wait_until_answering(client)
                await wait_until_served(client)
                runs = dict(zip(INPUTS, await asyncio.gather(*(_run(client, kind) for kind in INPUTS)), strict=True))
            async with httpx.AsyncClient(base_url=provider) as face:
                calls = (await face.get("/calls")).json()

    assert where_is_shadowgraph(environment, project).is_relative_to(environment.folder)
    assert {kind: run["status"] for kind, run in runs.items()} == dict.fromkeys(INPUTS, "COMPLETED")
    assert {kind: output_of(run) for kind, run in runs.items()} == plain_results
    assert len(calls) == sum(CALLS.values())
    assert all(run["usage"]["prompt_tokens"] > 0 for run in runs.values())


async def _run(client: httpx.AsyncClient, kind: str) -> dict[str, Any]:
    run_id = await begin(client, kind)
    run = await wait_for_status(client, run_id, *ENDED, "AWAITING_HUMAN")
    if run["status"] == "AWAITING_HUMAN":
        await answer(client, run_id)
        run = await wait_for_status(client, run_id)
    return run


def where_is_shadowgraph(environment: Environment, project: Path) -> Path:
    said = subprocess.run(
        [environment.python, "-c", "import shadowgraph; print(shadowgraph.__file__)"],
        cwd=project,
        capture_output=True,
        text=True,
        check=True,
    )
    return Path(said.stdout.strip())


# --- dependencies that exclude each other ---------------------------------------------------------------------------------------

PACKAGES = {"1.0": "def version():\n    return '1.0'\n", "2.0": "VERSION = '2.0'\n"}
"""Who is written for one of them cannot work with the other."""
PROJECTS = {"older": ("1.0", "tinydep.version()"), "newer": ("2.0", "tinydep.VERSION")}
TELLING = """
import asyncio
import sys
from pathlib import Path
from typing import TypedDict

import tinydep
from langgraph.graph import END, START, StateGraph


class State(TypedDict, total=False):
    gate: str
    version: str
    prefix: str


async def tell(state: State) -> State:
    while not Path(state["gate"]).exists():
        await asyncio.sleep(0.02)
    return {"version": ASKED, "prefix": sys.prefix}


builder = StateGraph(State)
builder.add_node(tell)
builder.add_edge(START, "tell")
builder.add_edge("tell", END)
graph = builder.compile()
"""


@pytest.fixture(scope="module")
def conflicting(tmp_path_factory: pytest.TempPathFactory, wheel: Path) -> dict[str, Path]:
    """Two projects, each with what it needs in an environment of its own."""
    folder = tmp_path_factory.mktemp("conflicting")
    for version, source in PACKAGES.items():
        build_package(folder / "packages", "tinydep", version, source)
    return {name: _make_project(folder / name, wheel, folder / "packages") for name in PROJECTS}


def _make_project(folder: Path, wheel: Path, packages: Path) -> Path:
    version, asked = PROJECTS[folder.name]
    files = {"graph.py": TELLING.replace("ASKED", asked), "requirements.txt": f"tinydep=={version}\nlanggraph\n"}
    write_project(folder, files, graphs={folder.name: "./graph.py:graph"})
    environment = make_environment(folder / ".venv")
    environment.install(wheel, "-r", folder / "requirements.txt", "--find-links", packages)
    return folder


@pytest.mark.parametrize("started", ["a worker each", "one up"])
async def test_projects_whose_dependencies_exclude_each_other_run_side_by_side(
    request: pytest.FixtureRequest,
    conflicting: dict[str, Path],
    tmp_path: Path,
    started: Literal["a worker each", "one up"],
) -> None:
    port, gate = free_port(), tmp_path / "gate"
    settings = {**settings_for("distributed", request), "PORT": str(port)}
    commands = _a_worker_each(conflicting) if started == "a worker each" else _one_up(conflicting)
    with ExitStack() as until_the_end:
        for number, (folder, command) in enumerate(commands):
            environment = Environment(folder / ".venv")
            env = variables(environment, tmp_path, **settings)
            log = tmp_path / f"{number}.log"
            until_the_end.enter_context(serving([environment.command, *command], cwd=folder, env=env, log=log))
        async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", timeout=70) as client:
            for name in conflicting:
                await wait_until_answering(client, f"/workflows/{name}")
            body = {"input": {"gate": str(gate)}}
            run_ids = {name: await submit(client, {"workflow": name, **body}) for name in conflicting}
            for run_id in run_ids.values():
                await wait_for_status(client, run_id, "RUNNING")
            gate.touch()
            runs = {name: await wait_for_status(client, run_id) for name, run_id in run_ids.items()}

    told = {name: (run["result"]["output"]["version"], run["result"]["output"]["prefix"]) for name, run in runs.items()}
    assert told == {name: (PROJECTS[name][0], str(folder / ".venv")) for name, folder in conflicting.items()}


Typed = list[tuple[Path, list[str]]]
"""Commands, with the folder of the project in whose environment each is typed."""


def _a_worker_each(conflicting: dict[str, Path]) -> Typed:
    older, newer = conflicting.values()
    return [(older, ["api"]), *((folder, ["worker", "--project", "."]) for folder in (older, newer))]


def _one_up(conflicting: dict[str, Path]) -> Typed:
    older, newer = conflicting.values()
    return [(older, ["up", "--project", ".", "--project", str(newer)])]


# --- from a clone to the first run ----------------------------------------------------------------------------------------------

CHATTING = '''
"""Talks about the weather."""

from langchain_groq import ChatGroq
from langgraph.graph import END, START, MessagesState, StateGraph

model = ChatGroq(model="openai/gpt-oss-120b")


def talk(state: MessagesState) -> dict:
    return {"messages": [model.invoke(state["messages"])]}


builder = StateGraph(MessagesState)
builder.add_node(talk)
builder.add_edge(START, "talk")
builder.add_edge("talk", END)
graph = builder.compile()
'''


def test_from_a_clone_to_the_first_finished_run_in_three_commands(
    wheel: Path, tmp_path: Path, record_property: RecordProperty
) -> None:
    environment, repository = make_environment(tmp_path / "venv"), _make_repository(tmp_path / "origin" / "chat")
    home = tmp_path / "home"
    home.mkdir()

    with offline_server() as provider:
        env = variables(environment, home, GROQ_API_KEY="any", GROQ_BASE_URL=provider)
        began = time.monotonic()
        _type(["git", "clone", "-q", repository.as_uri()], folder=home, env=env)
        cloned = time.monotonic()
        environment.install(wheel, "-r", home / "chat" / "requirements.txt")
        installed = time.monotonic()
        said = _type(["shadowgraph", "run", "--project", "chat", "What is a rainbow?"], folder=home, env=env)
        finished = time.monotonic()

    assert "offline demo model" in said
    record_property(
        PROPERTY,
        f"from a clone to the first finished run: {finished - began:.1f} s (clone {cloned - began:.1f}, "
        f"install with {'uv' if find_uv() else 'pip'} {installed - cloned:.1f}, run {finished - installed:.1f})",
    )


def _make_repository(folder: Path) -> Path:
    files = {"agent.py": CHATTING, "requirements.txt": "langgraph\nlangchain-groq\n"}
    write_project(folder, files, graphs={"chat": "./agent.py:graph"})
    who = ["-c", "user.name=somebody", "-c", "user.email=somebody@example.com"]
    for command in (["init", "-q"], ["add", "."], [*who, "commit", "-q", "-m", "A graph"]):
        subprocess.run(["git", *command], cwd=folder, check=True, capture_output=True)
    return folder


def _type(command: list[str], *, folder: Path, env: dict[str, str]) -> str:
    done = subprocess.run(command, cwd=folder, env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout
