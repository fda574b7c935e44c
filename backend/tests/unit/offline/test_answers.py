import re
from typing import Any

import pytest

from shadowgraph.llm.offline.brain import reply
from shadowgraph.llm.offline.wording import DE, EN, ES, FR, LABEL

SNAKE = "Build a snake game"


def ask(request: str = SNAKE, system: str = "", **options: Any) -> str:
    return reply([{"role": "system", "content": system}, {"role": "user", "content": request}], **options).text


@pytest.mark.parametrize("request_text", [SNAKE, "Write a poem", "Who won?", "hello", "", "fibonacci, be terse"])
@pytest.mark.parametrize(
    "system", ["", "You are a planner.", "You are a reviewer.", "Be terse.", "You write the final report."]
)
def test_every_text_ends_with_the_line_that_says_who_speaks(request_text: str, system: str) -> None:
    assert ask(request_text, system).splitlines()[-1] == LABEL


def test_files_are_fenced_blocks_with_language_and_path() -> None:
    text = ask(system="You are the coder. Give each file as ```lang:path block.")

    assert re.findall(r"^```(\S+)$", text, re.MULTILINE) == [
        "python:game.py",
        "python:play.py",
        "python:test_game.py",
        "markdown:README.md",
    ]
    assert text.count("```") == 8


def test_a_file_that_contains_fences_gets_a_longer_one() -> None:
    text = ask("Who won the cup?", "You are the coder.")

    assert "```" not in text


class TestRoles:
    def test_a_planner_numbers_the_steps(self) -> None:
        assert re.search(r"^2\. Write game\.py: ", ask(system="You are a planner."), re.MULTILINE)

    def test_a_researcher_gives_findings(self) -> None:
        assert EN.findings in ask(system="You are a researcher.")

    def test_a_reviewer_explains_the_design(self) -> None:
        assert EN.design in ask(system="You review plans.")

    def test_a_finalizer_names_files_and_commands_and_shows_no_code(self) -> None:
        text = ask(system="You write the final summary.")

        assert "- `game.py`" in text
        assert "python3 play.py" in text
        assert "class Game" not in text

    def test_a_finalizer_names_the_files_that_exist_and_the_outcome_of_their_tests(self) -> None:
        request = f"<request>{SNAKE}</request><files>app/x.py</files><checks>tests: 2 failed</checks>"

        text = ask(request, "You write the final summary.")

        assert "- `app/x.py`" in text
        assert "game.py" not in text
        assert "tests: 2 failed" in text

    def test_without_a_role_a_request_for_a_program_gets_its_files(self) -> None:
        assert "```python:game.py" in ask()


class TestHonesty:
    def test_a_request_without_a_template_is_not_called_done(self) -> None:
        text = ask("Write a quantum chess engine", "You write the final summary.")

        assert text.startswith(EN.unfinished)
        assert "Built" not in text

    def test_a_question_is_not_answered_from_nothing(self) -> None:
        assert ask("Who won the cup?").startswith(EN.cannot_answer)

    def test_sources_are_cited_with_their_addresses(self) -> None:
        sources = '<search_results>[{"title": "T", "url": "https://example.org", "snippet": "S won."}]</search_results>'

        assert "S won. (T: https://example.org)" in ask(f"<request>Who won the cup?</request>{sources}")

    def test_a_react_component_is_said_to_be_checked_only_structurally(self) -> None:
        text = ask("React login form", "You write the final summary.")

        assert "No test was run" in text
        assert "checked structurally" in text


class TestStyle:
    def test_terse_is_shorter(self) -> None:
        for system in ("You are a planner.", "You are a researcher.", "You write the final summary."):
            assert len(ask(system=f"{system} Be terse.")) < 0.7 * len(ask(system=system))

    def test_steps_are_limited_and_none_of_the_work_is_lost(self) -> None:
        text = ask(system="You are a planner. At most 3 steps.")

        assert len(re.findall(r"^\d\. ", text, re.MULTILINE)) == 3
        assert all(path in text for path in ("game.py", "play.py", "test_game.py", "README.md"))

    def test_no_tests(self) -> None:
        assert "test_game.py" not in ask(system="You are the coder. Write no tests.")

    @pytest.mark.parametrize(("name", "phrases"), [("German", DE), ("French", FR), ("Spanish", ES)])
    def test_other_languages(self, name: str, phrases: Any) -> None:
        text = ask(system=f"You write the final summary. Answer in {name}.")

        assert f"## {phrases.files}" in text
        assert text.endswith(phrases.label)


class TestNoise:
    def test_without_noise_the_seed_does_not_matter(self) -> None:
        assert ask(seed=1) == ask(seed=2)

    def test_with_noise_answers_differ_by_seed_and_by_nothing_else(self) -> None:
        answers = {seed: ask(seed=seed, noise=0.5) for seed in range(5)}

        assert len(set(answers.values())) == 5
        assert answers[3] == ask(seed=3, noise=0.5)

    def test_more_noise_differs_more(self) -> None:
        plain = ask(system="You are a planner.").split()

        def changed(level: float) -> int:
            noisy = [ask(system="You are a planner.", seed=seed, noise=level).split() for seed in range(20)]
            return sum(word != other for words in noisy for word, other in zip(plain, words, strict=False))

        assert 0 < changed(0.1) < changed(0.9)


class TestJson:
    def test_a_schema_for_the_whole_answer(self) -> None:
        schema = {"type": "object", "properties": {"approved": {"type": "boolean"}}}
        wanted = {"type": "json_schema", "json_schema": {"name": "Verdict", "schema": schema}}

        assert ask(response_format=wanted) == '{"approved": true}'

    def test_json_without_a_schema_takes_the_keys_from_the_prompt(self) -> None:
        text = ask("Give me JSON with the keys 'setup' and `punchline`.", response_format={"type": "json_object"})

        assert text.startswith('{"setup": ')
        assert '"punchline": ' in text

    def test_json_without_any_hint_has_an_answer(self) -> None:
        assert ask("hello", response_format={"type": "json_object"}).startswith('{"answer": "Hello')
