"""Answers of real models come in many shapes; these are the ones that were seen."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shadowgraph.core.paths import require_safe_path
from shadowgraph.tools import files as limits
from shadowgraph.tools.files import CUT_OFF, UNSAFE_NAME, parse_answer

FENCE = "```"


def _block(info: str, body: str = "x = 1") -> str:
    return f"{FENCE}{info}\n{body}\n{FENCE}\n"


@pytest.mark.parametrize(
    ("answer", "path"),
    [
        (_block("python:app/main.py"), "app/main.py"),
        (_block("python app/main.py"), "app/main.py"),
        (_block("app/main.py"), "app/main.py"),
        (_block('python path="my app/main.py"'), "my app/main.py"),
        (_block("python title='main.py' {1-3}"), "main.py"),
        (_block("python filename=main.py"), "main.py"),
        (_block("dockerfile:Dockerfile"), "Dockerfile"),
        (_block("python:app\\main.py"), "app/main.py"),
        ("File: `main.py`\n" + _block("python"), "main.py"),
        ("**File: main.py**\n\n" + _block("python"), "main.py"),
        ("**Filename:** `main.py`\n" + _block("python"), "main.py"),
        ("### `app/main.py`\n" + _block("python"), "app/main.py"),
        ("### 1. app/main.py\n" + _block("python"), "app/main.py"),
        ("2) **main.py**:\n" + _block("python"), "main.py"),
        ("- `main.py`\n" + _block("python"), "main.py"),
        (_block("python", "# main.py\nx = 1"), "main.py"),
        (_block("js", "// File: web/main.js\nlet x"), "web/main.js"),
        (_block("html", "<!-- index.html -->\n<p>"), "index.html"),
        (_block("css", "/* style.css */\np {}"), "style.css"),
        (f"{FENCE}python:main.py\r\nx = 1\r\n{FENCE}\r\n", "main.py"),
        (f"~~~python:main.py\nx = '{FENCE}'\n~~~\n", "main.py"),
        (f"  {FENCE}python:main.py\nx\n  {FENCE}", "main.py"),
    ],
)
def test_a_file_is_found_by_its_name(answer: str, path: str) -> None:
    parsed = parse_answer(answer)

    assert [file.path for file in parsed.files] == [path]
    assert not parsed.refused


def test_bodies_arrive_whole_and_in_order() -> None:
    answer = f"Two files.\n\n{_block('python:a.py', 'a = 1')}\nand\n\nFile: b.txt\n{_block('', 'b')}"

    parsed = parse_answer(answer)

    assert [(file.path, file.language, file.body) for file in parsed.files] == [
        ("a.py", "python", "a = 1\n"),
        ("b.txt", "", "b\n"),
    ]


def test_a_fence_with_a_language_inside_markdown_belongs_to_the_file() -> None:
    answer = f"{FENCE}markdown:README.md\n# T\n{FENCE}bash\nls\n{FENCE}\nend\n{FENCE}\nprose"

    parsed = parse_answer(answer)

    assert [file.body for file in parsed.files] == [f"# T\n{FENCE}bash\nls\n{FENCE}\nend\n"]


def test_a_longer_fence_holds_shorter_ones() -> None:
    parsed = parse_answer(f"````md:README.md\n{FENCE}\nx\n{FENCE}\n````")

    assert parsed.files[0].body == f"{FENCE}\nx\n{FENCE}\n"


def test_a_name_above_prose_does_not_name_the_block() -> None:
    parsed = parse_answer(f"File: old.py\nwas removed, instead:\n{_block('python')}")

    assert not parsed.files
    assert parsed.unnamed == 1


def test_examples_without_a_name_are_counted_and_left_out() -> None:
    parsed = parse_answer(_block("python:a.py") + _block("bash", "python a.py"))

    assert len(parsed.files) == 1
    assert parsed.unnamed == 1


def test_a_file_that_the_answer_breaks_off_in_is_refused() -> None:
    parsed = parse_answer(f"{_block('python:a.py')}{FENCE}python:b.py\ndef f(")

    assert [file.path for file in parsed.files] == ["a.py"]
    assert [(file.path, file.reason) for file in parsed.refused] == [("b.py", CUT_OFF)]


def test_a_forgotten_closing_fence_does_not_swallow_the_next_file() -> None:
    parsed = parse_answer(f"{FENCE}python:a.py\na = 1\n{_block('python:b.py', 'b = 1')}")

    assert [(file.path, file.body) for file in parsed.files] == [("b.py", "b = 1\n")]
    assert [file.path for file in parsed.refused] == ["a.py"]


@pytest.mark.parametrize(
    "name",
    [
        "../x.py",
        "a/../../x.py",
        "..\\x.py",
        "/etc/passwd",
        "C:\\x.py",
        "~/x.py",
        ".env",
        ".git/config",
        "a//b.py",
        "a/./b.py",
        "CON",
        "aux.txt",
        "x\x00.py",
        "a\u202e.py",
        "a.py.",
        "a" * 200 + ".py",
        "/".join("a" * 20),
        "..%2fx",
        "http://evil.example/x.py",
    ],
)
def test_a_name_that_cannot_be_a_file_is_refused_with_its_reason(name: str) -> None:
    parsed = parse_answer(_block(f"python:{name}"))

    assert not parsed.files
    assert [refused.reason for refused in parsed.refused] == [UNSAFE_NAME]
    assert parsed.refused[0].path.isprintable()


@pytest.mark.parametrize(("first", "second"), [("a.py", "a.py"), ("a.py", "A.py"), ("a", "a/b.py"), ("a/b.py", "a")])
def test_two_files_that_cannot_stand_side_by_side_are_not_both_taken(first: str, second: str) -> None:
    parsed = parse_answer(_block(f"text:{first}") + _block(f"text:{second}"))

    assert [file.path for file in parsed.files] == [first]
    assert [refused.path for refused in parsed.refused] == [second]


def test_a_file_that_is_too_long_is_refused() -> None:
    parsed = parse_answer(_block("text:a.txt", "x" * (limits.MAX_FILE_BYTES + 1)))

    assert parsed.refused[0].reason == "longer than 256,000 bytes"


def test_more_files_than_an_answer_may_have_are_refused() -> None:
    parsed = parse_answer("".join(_block(f"text:{n}.txt") for n in range(limits.MAX_FILES + 3)))

    assert len(parsed.files) == limits.MAX_FILES
    assert len(parsed.refused) == 3


def test_bodies_that_are_too_long_together_are_refused() -> None:
    parsed = parse_answer("".join(_block(f"text:{n}.txt", "x" * 200_000) for n in range(6)))

    assert len(parsed.files) == 4
    assert {refused.path for refused in parsed.refused} == {"4.txt", "5.txt"}


PIECES = st.sampled_from(
    [
        FENCE,
        "````",
        "~~~",
        "\n",
        "\r\n",
        "\r",
        "python:",
        "path=",
        '"',
        "../",
        "a.py",
        "File: ",
        "# ",
        "**",
        "`",
        " ",
        "\x00",
        "\u202e",
    ]
)


@settings(max_examples=300, deadline=None)
@given(st.lists(PIECES | st.text(max_size=5), max_size=40).map("".join))
def test_any_text_gives_safe_files_or_reasons_and_never_an_error(text: str) -> None:
    parsed = parse_answer(text)

    assert all(require_safe_path(file.path) == file.path for file in parsed.files)
    assert len({file.path.lower() for file in parsed.files}) == len(parsed.files)
    assert all(refused.reason for refused in parsed.refused)


def test_a_long_line_of_fence_characters_is_read_quickly() -> None:
    parsed = parse_answer("`" * 200_000 + "\n" + "#" * 200_000 + "\n" + "* " * 100_000)

    assert not parsed.files
