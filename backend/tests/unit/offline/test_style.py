import pytest

from shadowgraph.llm.offline.style import Style, read_style


def style_of(instructions: str, request: str = "") -> Style:
    return read_style(instructions=instructions, request=request)


def test_a_prompt_without_wishes_changes_nothing() -> None:
    assert style_of("You are a planner. Give the steps in order, each with a short title.") == Style()


@pytest.mark.parametrize("prompt", ["Be terse.", "Answer briefly.", "Keep it short.", "Reply in one sentence."])
def test_terse_prompts(prompt: str) -> None:
    assert style_of(prompt).is_terse
    assert not style_of(prompt).wants_readme


def test_a_request_for_a_short_story_asks_for_no_short_answer() -> None:
    assert not style_of("", "Write a short story, keep it short.").is_terse


@pytest.mark.parametrize(
    ("prompt", "steps"),
    [
        ("Plan in at most 3 steps.", 3),
        ("No more than five steps.", 5),
        ("use exactly 2 concrete steps", 2),
        ("Up to 12 steps", 12),
        ("0 steps at most", None),
    ],
)
def test_the_number_of_steps(prompt: str, steps: int | None) -> None:
    assert style_of(prompt).max_steps == steps


@pytest.mark.parametrize("prompt", ["Write no tests.", "Do not include unit tests.", "without tests", "Skip the tests"])
def test_prompts_that_want_no_tests(prompt: str) -> None:
    assert not style_of(prompt).wants_tests
    assert not style_of("", f"Build a snake game, {prompt}").wants_tests


@pytest.mark.parametrize("prompt", ["Where no tests were run, say so.", "Look for missing tests.", "Write tests."])
def test_prompts_that_only_speak_of_tests(prompt: str) -> None:
    assert style_of(prompt).wants_tests


@pytest.mark.parametrize(
    ("prompt", "language"),
    [
        ("Answer in German.", "de"),
        ("Antworte auf Deutsch.", "de"),
        ("Use German headings.", "de"),
        ("Language: fr", "fr"),
        ("Réponds en français.", "fr"),
        ("Responde en español", "es"),
        ("Write in the language of the request.", "en"),
    ],
)
def test_languages(prompt: str, language: str) -> None:
    assert style_of(prompt).language == language


def test_fenced_files() -> None:
    assert style_of("Give each file as a block:\n```python:app.py\n```").wants_fenced_files
    assert not style_of("Give a plan.").wants_fenced_files
