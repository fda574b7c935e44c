import pytest

from shadowgraph.llm.offline.understanding import understand


@pytest.mark.parametrize(
    ("request_text", "template"),
    [
        ("Build a snake game", "snake"),
        ("Convert camelCase to snake_case", "skeleton"),
        ("Build a REST API for todos", "crud"),
        ("Build an inventory system for a shop", "crud"),
        ("Write an essay on how to manage stress", "skeleton"),
        ("React to-do list", "react"),
        ("Write code that reacts to events", "skeleton"),
        ("to-do list app", "todo"),
        ("export sales as a csv report", "csv_report"),
        ("fizzbuzz", "function"),
        ("How do I write a snake game?", "snake"),
        ("Could you please build me a CRUD API?", "crud"),
        ("Write a web crawler", "skeleton"),
        ("Fix the bug in my REST API", "skeleton"),
        ("Refactor this function: def fib(n): ...", "skeleton"),
        ("csv to json converter", "skeleton"),
        ("hello world program", "skeleton"),
        ("asdf", "skeleton"),
        ("", "skeleton"),
        ("What is the capital of France?", "note"),
        ("hello", "note"),
    ],
)
def test_the_template_that_fits_is_chosen(request_text: str, template: str) -> None:
    assert understand(request_text).template == template


@pytest.mark.parametrize(
    ("request_text", "intent"),
    [
        ("Build a snake game", "build"),
        ("fibonacci function", "build"),
        ("Can you write a parser?", "build"),
        ("Who won the cup in 2022?", "question"),
        ("Tell me about Graz", "question"),
        ("Wer hat gewonnen?", "question"),
        ("Hello, who are you?", "greeting"),
        ("thanks", "greeting"),
        ("asdf", "unknown"),
    ],
)
def test_the_intent_is_told_apart(request_text: str, intent: str) -> None:
    assert understand(request_text).intent == intent


@pytest.mark.parametrize(
    ("request_text", "needs_search"),
    [
        ("Who won the cup in 2022?", True),
        ("What is the latest version of Python?", True),
        ("Summarise current news about Graz", True),
        ("Build a scraper, look up the latest library first", True),
        ("Build a snake game", False),
        ("Build a REST API for products with name and price", False),
        ("Hello", False),
    ],
)
def test_only_what_needs_outside_knowledge_is_searched_for(request_text: str, needs_search: bool) -> None:
    assert understand(request_text).needs_search is needs_search
