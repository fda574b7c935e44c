import os
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shadowgraph.versioning.collecting import collect
from shadowgraph.versioning.errors import InvalidSnapshot
from shadowgraph.versioning.files import MAX_FILE_BYTES, MAX_FILES, kind_of
from shadowgraph.versioning.texts import Unusable, normal_text


def write(root: Path, *paths: str, text: str = "x\n") -> Path:
    for path in paths:
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_text(text)
    return root


def refused(*roots: Path) -> list[Any]:
    with pytest.raises(InvalidSnapshot) as raised:
        collect(roots)
    errors = raised.value.facts["errors"]
    assert isinstance(errors, list)
    return errors


def test_texts_of_a_project_are_taken_and_what_is_generated_hidden_or_of_another_kind_is_not(tmp_path: Path) -> None:
    wanted = ["agent.py", "prompts/coder.md", "data/facts.json", "uv.lock", "pkg/settings.yaml"]
    unwanted = [".env", ".git/config.json", "__pycache__/agent.py", "storage/state.json", "build/lib.py"]
    write(tmp_path, *wanted, *unwanted, "photo.png", "app.db", "credentials.json", "secrets.toml", "my_secrets.py")
    write(tmp_path / "env", "pyvenv.cfg", "lib/python.py")

    found = collect([tmp_path])

    assert set(found.files) == {*wanted, "my_secrets.py"}
    assert found.left_out == ["app.db", "credentials.json", "photo.png", "secrets.toml"]


def test_rendered_files_are_left_to_whoever_renders_them(tmp_path: Path) -> None:
    write(tmp_path, "langgraph.json", "shadowgraph.toml", "sub/langgraph.json")

    assert set(collect([tmp_path]).files) == {"sub/langgraph.json"}


def test_gitignore_files_of_the_project_and_above_it_count(tmp_path: Path) -> None:
    (tmp_path / ".git").mkdir()
    (tmp_path / ".gitignore").write_text("*.local.py\n/mine/notes/\n")
    mine = write(tmp_path / "mine", "a.py", "b.local.py", "notes/c.md", "sub/d.json", "sub/keep.json", "sub/e.json")
    (mine / "sub" / ".gitignore").write_text("*.json\n!keep.json\n")

    assert set(collect([mine]).files) == {"a.py", "sub/keep.json"}


def test_a_project_in_an_ignored_folder_is_a_project_all_the_same(tmp_path: Path) -> None:
    (tmp_path / ".git").mkdir()
    (tmp_path / ".gitignore").write_text(".venv\n*.py\n")
    mine = write(tmp_path / ".venv" / "lib" / "agents", "graph.py")

    assert set(collect([mine]).files) == {"graph.py"}


def test_links_are_refused_wherever_they_lead(tmp_path: Path) -> None:
    project = write(tmp_path / "project", "agent.py")
    write(tmp_path / "elsewhere", "secret.md")
    (project / "prompt.md").symlink_to(tmp_path / "elsewhere" / "secret.md")
    (project / "more").symlink_to(tmp_path / "elsewhere")
    (project / "gone.md").symlink_to(tmp_path / "nowhere")

    errors = refused(project)

    assert [error["pointer"] for error in errors] == ["gone.md", "more", "prompt.md"]
    assert all("is a link" in error["detail"] for error in errors)


def test_a_link_that_git_ignores_is_nobodys_business(tmp_path: Path) -> None:
    write(tmp_path, "agent.py")
    (tmp_path / ".gitignore").write_text("data\n")
    (tmp_path / "data").symlink_to("/")

    assert set(collect([tmp_path]).files) == {"agent.py"}


def test_a_pipe_is_refused_without_being_opened(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.txt")

    assert refused(tmp_path) == [{"pointer": "pipe.txt", "detail": "is not a regular file"}]


def test_every_file_that_cannot_be_held_is_named_at_once(tmp_path: Path) -> None:
    write(tmp_path, "a.py", "b (copy).md")
    (tmp_path / "huge.json").write_bytes(b"1" * (MAX_FILE_BYTES + 1))
    (tmp_path / "latin.txt").write_bytes("Müller".encode("latin-1"))
    (tmp_path / "zero.txt").write_bytes(b"a\0b")

    errors = {error["pointer"]: error["detail"] for error in refused(tmp_path)}

    assert set(errors) == {"b (copy).md", "huge.json", "latin.txt", "zero.txt"}
    assert str(MAX_FILE_BYTES + 1) in errors["huge.json"]
    assert "UTF-8" in errors["latin.txt"]


def test_a_project_of_too_many_files_is_refused_before_all_are_read(tmp_path: Path) -> None:
    for number in range(MAX_FILES + 2):
        (tmp_path / f"f{number}.md").write_text("")

    assert refused(tmp_path) == [{"pointer": ".", "detail": f"has more than {MAX_FILES} files"}]


def test_a_project_that_is_too_large_is_refused_with_its_largest_file(tmp_path: Path) -> None:
    for number in range(18):
        (tmp_path / f"f{number:02}.md").write_bytes(b"x" * (MAX_FILE_BYTES - number))

    [error] = refused(tmp_path)

    assert error["pointer"] == "f00.md"


def test_folders_outside_the_project_get_a_place_of_their_own(tmp_path: Path) -> None:
    project = write(tmp_path / "app", "agent.py", "libs/inner/x.py")
    shared = write(tmp_path / "shared", "y.py")
    other = write(tmp_path / "more" / "shared", "z.py")

    found = collect([project, project / "libs" / "inner", shared, other])

    assert set(found.files) == {"agent.py", "libs/inner/x.py", "_roots/shared/y.py", "_roots/shared-2/z.py"}
    assert found.origins[shared / "y.py"] == "_roots/shared/y.py"


def test_an_empty_folder_has_no_files(tmp_path: Path) -> None:
    assert collect([tmp_path]).files == {}


LINES = st.lists(
    st.text(st.characters(exclude_characters="\r\n\0", exclude_categories=["Cs"]), max_size=20), max_size=8
)


@given(LINES, st.sampled_from(["\n", "\r\n", "\r"]), st.booleans())
@settings(max_examples=60)
def test_a_text_is_the_same_whatever_platform_wrote_it(lines: list[str], ending: str, has_mark: bool) -> None:
    written = ending.join(lines).encode("utf-8-sig" if has_mark else "utf-8")
    expected = "\n".join(lines).removeprefix("\ufeff" if not has_mark else "").encode()

    assert normal_text(written) == expected
    assert normal_text(expected.removeprefix(b"\xef\xbb\xbf")) == expected.removeprefix(b"\xef\xbb\xbf")


@given(st.binary(max_size=40))
def test_bytes_become_a_normal_text_or_are_refused(raw: bytes) -> None:
    try:
        text = normal_text(raw)
    except Unusable:
        return

    assert b"\r" not in text
    assert b"\0" not in text


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("prompts/coder.md", "data"),
        ("shadowgraph.toml", "data"),
        ("agent.py", "code"),
        ("langgraph.json", "code"),
        ("knowledge/facts.md", "code"),
        ("sub/README.md", "code"),
        ("README.md", "inert"),
        ("LICENSE.txt", "inert"),
        ("docs/how.md", "inert"),
        ("tests/test_agent.py", "inert"),
        ("pkg/test_agent.py", "inert"),
        ("tests/helper.py", "code"),
        ("pyproject.toml", "inert"),
        ("uv.lock", "dependencies"),
        ("requirements-dev.txt", "dependencies"),
        ("sub/requirements.txt", "code"),
    ],
)
def test_a_file_stands_for_one_kind_of_change(path: str, kind: str) -> None:
    assert kind_of(path, prompts={"prompts/coder.md"}, used={"tests/helper.py", "agent.py"}) == kind
