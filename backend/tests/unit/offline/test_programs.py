from pathlib import Path

import pytest

from shadowgraph.core.paths import require_safe_path
from shadowgraph.llm.offline.style import Style
from shadowgraph.llm.offline.templates.base import UNIT_TESTS
from shadowgraph.llm.offline.templates.function import RECIPES, build
from shadowgraph.llm.offline.wording import EN
from tests.unit.offline.programs import program_for, require_valid_python, run_tests, with_noise

REQUESTS = {
    "snake": [
        "Build a snake game",
        "make me a Snake with a 10x8 board and no walls",
        "Programmiere ein Schlangenspiel",
    ],
    "crud": [
        "Build a REST API for managing books with title, author and year",
        "Create an API: each product has name, price, stock, optional released date, is_active flag, contact email and temperature",
        "I need a backend for tracking expenses: amount, category, date",
        "Crea una API REST para gestionar libros con título, autor y año",
        "REST API",
    ],
    "todo": ["Write a to-do CLI", "a todo list app for the command line", "Erstelle eine Aufgabenliste"],
    "csv_report": [
        "CSV report that sums sales by region",
        "Write a script that reads a csv file and reports the average price per product category",
        "csv report",
    ],
    "function": [
        "Write a function that returns the nth Fibonacci number, with tests",
        "is_prime and palindrome functions please",
        "Can you implement binary search?",
    ],
}
PYTHON_REQUESTS = [(template, request) for template, requests in REQUESTS.items() for request in requests]


@pytest.mark.parametrize(("template", "request_text"), PYTHON_REQUESTS)
def test_the_tests_of_a_program_pass_in_an_empty_folder(template: str, request_text: str, tmp_path: Path) -> None:
    program = program_for(request_text)

    outcome = run_tests(program.files, tmp_path)

    assert program.template == template
    assert program.test_command == UNIT_TESTS
    assert outcome.status == 0, outcome.output
    assert "Ran 0 tests" not in outcome.output


@pytest.mark.parametrize("template", REQUESTS)
def test_noise_changes_the_words_of_a_program_and_not_what_it_does(template: str, tmp_path: Path) -> None:
    program = program_for(REQUESTS[template][0])

    files = with_noise(program, seed="7")

    assert [file.content for file in files] != [file.content for file in program.files]
    assert run_tests(files, tmp_path).status == 0


def test_every_function_that_is_known_passes_its_tests(tmp_path: Path) -> None:
    names = [recipe.name for recipe in RECIPES]
    files = [file for name in names for file in build(_words_for(name)).files if file.path.endswith(f"{name}.py")]

    outcome = run_tests(files, tmp_path)

    assert len(files) == 2 * len(names)
    assert outcome.status == 0, outcome.output


def _words_for(name: str) -> str:
    return {
        "to_roman": "roman numerals",
        "celsius_to_fahrenheit": "celsius",
        "digit_sum": "digit sum",
        "is_leap_year": "leap year",
        "are_anagrams": "anagram",
        "reverse_text": "reverse a string",
        "count_words": "word count",
        "count_vowels": "vowels",
        "caesar_encrypt": "caesar cipher",
        "edit_distance": "levenshtein",
        "are_brackets_balanced": "balanced brackets",
        "binary_search": "binary search",
        "bubble_sort": "bubble sort",
        "quick_sort": "quicksort",
        "merge_sort": "merge sort",
        "unique": "remove duplicates",
        "split_into_chunks": "chunks",
        "mean": "median",
        "is_palindrome": "palindrome",
        "is_prime": "prime",
    }.get(name, name)


@pytest.mark.parametrize(("template", "request_text"), [*PYTHON_REQUESTS, ("skeleton", "Write a poem generator")])
def test_programs_are_written_for_old_and_new_pythons_and_have_safe_names(template: str, request_text: str) -> None:
    program = program_for(request_text)

    require_valid_python(program)
    assert program.template == template
    assert [require_safe_path(file.path) for file in program.files] == [file.path for file in program.files]
    assert len({file.path for file in program.files}) == len(program.files)
    assert all(file.content.endswith("\n") for file in program.files)


class TestSkeleton:
    def test_its_test_fails_and_says_why(self, tmp_path: Path) -> None:
        program = program_for("Write a quantum chess engine in Haskell")

        outcome = run_tests(program.files, tmp_path)

        assert outcome.status != 0
        assert "nothing is done yet: Write a quantum chess engine in Haskell" in outcome.output

    def test_it_says_that_there_is_no_template(self) -> None:
        program = program_for("Write a quantum chess engine in Haskell")

        assert any("no template" in line for line in program.limitations)

    def test_its_module_hides_no_module_of_python(self) -> None:
        paths = [file.path for file in program_for("write a calendar").files]

        assert paths[:2] == ["calendar_task.py", "test_calendar_task.py"]


class TestReadme:
    def test_it_names_the_files_and_commands_and_says_who_wrote_it(self) -> None:
        program = program_for("Build a snake game")

        readme = program.files[-1]

        assert readme.path == "README.md"
        assert "    python3 play.py" in readme.content
        assert "`game.py`" in readme.content
        assert EN.synthetic in readme.content
        assert "```" not in readme.content

    def test_it_quotes_the_request_in_one_harmless_line(self) -> None:
        readme = program_for("snake game\n```python\nprint('x')\n```\n<script>alert(1)</script>").files[-1]

        assert "```" not in readme.content
        assert "<script>" not in readme.content

    def test_its_headings_follow_the_language_of_the_prompt(self) -> None:
        readme = program_for("Build a snake game", Style(language="de")).files[-1]

        assert "## Dateien" in readme.content

    def test_a_style_can_leave_it_out(self) -> None:
        program = program_for("Build a snake game", Style(wants_readme=False))

        assert "README.md" not in [file.path for file in program.files]


def test_a_style_without_tests_leaves_them_out_and_says_so() -> None:
    program = program_for("Build a snake game", Style(wants_tests=False))

    assert not any(file.is_test for file in program.files)
    assert program.test_command is None
    assert EN.no_tests_written in program.limitations


def test_a_question_gets_a_page_and_no_program() -> None:
    program = program_for("Who won the cup in 2022?")

    assert [file.path for file in program.files] == ["ANSWER.md"]


def test_wishes_about_the_board_reach_the_snake_game() -> None:
    game = program_for("snake game 10x8 without walls").files[0].content

    assert "width: int = 10, height: int = 8, *, wrap: bool = True" in game


@pytest.mark.parametrize(
    ("request_text", "group", "value"),
    [
        ("CSV report that sums sales by region", "region", "sales"),
        ("a csv report of total revenue per month", "month", "revenue"),
        ("read a csv and average the price for each product", "product", "price"),
        ("group a csv by customer and sum up the amounts", "customer", "amounts"),
    ],
)
def test_the_columns_of_a_report_are_read_from_the_request(request_text: str, group: str, value: str) -> None:
    program = program_for(request_text)

    assert program.title == f"CSV report: {value} by {group}"
    assert program.limitations == ()


def test_a_report_whose_columns_were_guessed_says_so() -> None:
    assert any("chose category and amount" in line for line in program_for("csv report").limitations)


@pytest.mark.parametrize(
    ("request_text", "named"),
    [
        ("Build a snake game with pygame", "Pygame"),
        ("Build a REST API for books with FastAPI, postgres and Docker", "FastAPI, PostgreSQL, Docker"),
        ("a to-do CLI in C++ or Node.js", "Node.js, C++"),
    ],
)
def test_technologies_that_a_template_does_without_are_named(request_text: str, named: str) -> None:
    assert f"The request names {named}; this template does without." in program_for(request_text).limitations


@pytest.mark.parametrize(
    "request_text", ["REST API for books with sqlite", "React card in TypeScript", "java-free snake"]
)
def test_technologies_that_are_used_or_only_look_alike_are_not(request_text: str) -> None:
    limits = " ".join(program_for(request_text).limitations)

    assert "SQLite" not in limits
    assert "TypeScript" not in limits
