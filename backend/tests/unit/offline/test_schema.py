from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator, FormatChecker

from shadowgraph.llm.offline.messages import read_conversation
from shadowgraph.llm.offline.noise import Noise
from shadowgraph.llm.offline.patterns import text_for_pattern
from shadowgraph.llm.offline.schema import fill_schema
from shadowgraph.llm.offline.schema_rules import fit_number
from shadowgraph.llm.offline.task import Task, read_task
from shadowgraph.llm.offline.templates.base import UNIT_TESTS

BOOKS = "Build a REST API for managing books with title, author and year"
CRUD_PATHS = ["model.py", "store.py", "api.py", "test_store.py", "test_api.py", "README.md"]


def task_for(request: str, *, system: str = "", noise: float = 0.0, chat: list[dict[str, Any]] | None = None) -> Task:
    messages = [{"role": "system", "content": system}, {"role": "user", "content": request}, *(chat or [])]
    return read_task(read_conversation(messages), Noise(noise, "1"))


def fill(schema: Mapping[str, Any], request: str = BOOKS, **options: Any) -> Any:
    """Every value must also satisfy the schema, as a library judges it."""
    value = fill_schema(schema, task_for(request, **options))
    Draft202012Validator(schema, format_checker=FormatChecker()).validate(value)
    return value


def fields(**properties: Any) -> dict[str, Any]:
    return {"type": "object", "properties": properties, "required": list(properties)}


TEXT = {"type": "string"}
TEXTS = {"type": "array", "items": TEXT}
FLAG = {"type": "boolean"}


class TestNames:
    def test_files_are_those_of_the_program_whatever_the_list_is_called(self) -> None:
        item = fields(path=TEXT, content=TEXT)

        for name in ("files", "changes", "result"):
            files = fill(fields(**{name: {"type": "array", "items": item}}))[name]
            assert [file["path"] for file in files] == CRUD_PATHS
            assert "class Book" in files[0]["content"]

    def test_files_may_have_other_names_for_path_and_text(self) -> None:
        item = fields(filename=TEXT, body=TEXT, language=TEXT, description=TEXT)

        file = fill(fields(files={"type": "array", "items": item}))["files"][0]

        assert file["filename"] == "model.py"
        assert file["language"] == "python"
        assert file["body"].startswith('"""What a book is')
        assert "fields" in file["description"]

    def test_files_may_be_an_object_by_path(self) -> None:
        files = fill(fields(files={"type": "object", "additionalProperties": TEXT}))["files"]

        assert list(files) == CRUD_PATHS

    def test_planned_files_have_a_purpose_and_no_text(self) -> None:
        files = fill(fields(files={"type": "array", "items": fields(path=TEXT, purpose=TEXT)}))["files"]

        assert files[1] == {"path": "store.py", "purpose": "keeps books in SQLite"}

    def test_steps_have_titles_numbers_and_order(self) -> None:
        step = fields(
            id={"type": "integer"},
            title=TEXT,
            detail=TEXT,
            acceptanceCriteria=TEXTS,
            depends_on={"type": "array", "items": {"type": "integer"}},
            files=TEXTS,
        )

        steps = fill(fields(steps={"type": "array", "items": step}))["steps"]

        assert [item["id"] for item in steps] == list(range(1, len(steps) + 1))
        assert steps[1]["title"] == "Write model.py"
        assert steps[1]["files"] == ["model.py"]
        assert steps[1]["depends_on"] == [1]
        assert steps[1]["acceptanceCriteria"] == ["model.py exists and does only this"]
        assert UNIT_TESTS in steps[-2]["detail"]

    def test_a_plan_may_be_a_list_of_texts(self) -> None:
        assert fill(fields(plan=TEXTS))["plan"][1].startswith("Write model.py: ")

    def test_commands_and_texts_come_from_the_program(self) -> None:
        names = ["title", "summary", "run_command", "test_command", "how_to_run", "architecture_notes", "language"]

        answer = fill(fields(**dict.fromkeys(names, TEXT)))

        assert answer["title"] == "REST API for books"
        assert "title, author, year: int" in answer["summary"]
        assert answer["run_command"] == "python3 api.py --port 8080"
        assert answer["test_command"] == UNIT_TESTS
        assert UNIT_TESTS in answer["how_to_run"]
        assert "store.py" in answer["architecture_notes"]
        assert answer["language"] == "python"

    def test_names_may_be_in_camel_case_and_have_words_before_them(self) -> None:
        answer = fill(fields(finalPlanSteps=TEXTS, researchKeyPoints=TEXTS))

        assert len(answer["finalPlanSteps"]) > 3
        assert any("SQL" in point for point in answer["researchKeyPoints"])

    def test_limits_say_that_no_language_model_wrote_this(self) -> None:
        assert any("not an LLM" in line for line in fill(fields(limitations=TEXTS))["limitations"])

    def test_an_answer_ends_with_the_label(self) -> None:
        assert fill(fields(answer=TEXT))["answer"].endswith("[offline demo model: rule-based, not an LLM]")

    @pytest.mark.parametrize(
        ("name", "expected"),
        [
            ("approved", True),
            ("is_valid", True),
            ("done", True),
            ("needs_revision", False),
            ("has_errors", False),
            ("should_retry", False),
            ("needs_search", False),
            ("has_tests", True),
            ("template_known", True),
            ("synthetic", True),
            ("anything_else", True),
        ],
    )
    def test_flags(self, name: str, expected: bool) -> None:
        assert fill(fields(**{name: FLAG}))[name] is expected

    def test_an_unknown_flag_keeps_its_default(self) -> None:
        assert fill(fields(verbose={"type": "boolean", "default": False})) == {"verbose": False}


class TestResearch:
    NOTES = fields(
        summary=TEXT,
        key_points=TEXTS,
        needs_search=FLAG,
        search_query=TEXT,
        sources={"type": "array", "items": fields(title=TEXT, url=TEXT)},
        open_questions=TEXTS,
    )

    def test_a_program_needs_no_search(self) -> None:
        notes = fill(self.NOTES)

        assert notes["needs_search"] is False
        assert notes["search_query"] == ""
        assert notes["sources"] == []

    def test_a_question_is_searched_for_once(self) -> None:
        question = "Please tell me who won the 2022 world cup?"
        found = [{"title": "Cup", "url": "https://example.org/cup", "snippet": "Argentina won."}]

        before = fill(self.NOTES, question)
        after = fill(
            self.NOTES, f"<request>{question}</request><search_results>{found}</search_results>".replace("'", '"')
        )

        assert before["needs_search"] is True
        assert before["search_query"] == "who won the 2022 world cup"
        assert after["needs_search"] is False
        assert after["sources"] == [{"title": "Cup", "url": "https://example.org/cup"}]
        assert after["key_points"] == ["Argentina won. (https://example.org/cup)"]

    def test_a_query_that_may_be_absent_is_absent_when_nothing_is_searched(self) -> None:
        schema = fields(needs_search=FLAG, search_query={"anyOf": [TEXT, {"type": "null"}], "default": None})

        assert fill(schema)["search_query"] is None
        assert fill(schema, "Who won the cup?")["search_query"] == "Who won the cup"


class TestTypes:
    @pytest.mark.parametrize(
        ("schema", "request_text", "expected"),
        [
            ({"const": 7}, BOOKS, 7),
            ({"enum": ["red", "blue"]}, "paint it blue", "blue"),
            ({"enum": ["reject", "approve"]}, BOOKS, "approve"),
            ({"enum": [3, 4]}, BOOKS, 3),
            ({"type": "null"}, BOOKS, None),
            ({"type": ["null", "integer"]}, "take 5", 5),
            ({"type": "integer", "minimum": 10, "maximum": 20}, "take 5", 10),
            ({"type": "number", "exclusiveMaximum": 1, "multipleOf": 0.25}, "take 5", 0.75),
            ({"type": "array", "items": {"type": "integer"}}, "take 5, 6 and 7", [5, 6, 7]),
            ({"type": "array", "items": TEXT, "maxItems": 0}, BOOKS, []),
            ({"type": "object"}, BOOKS, {}),
            ({"type": "string", "pattern": "^[A-Z]{3}-\\d{4}$"}, BOOKS, "AAA-0000"),
            ({"type": "string", "format": "uuid"}, BOOKS, "01890000-0000-7000-8000-000000000000"),
        ],
    )
    def test_types_and_bounds(self, schema: dict[str, Any], request_text: str, expected: Any) -> None:
        assert fill(schema, request_text) == expected

    def test_lengths_are_kept(self) -> None:
        assert len(fill({"type": "string", "maxLength": 5})) == 5
        assert len(fill({"type": "string", "minLength": 300})) >= 300

    def test_lists_have_as_many_items_as_wanted(self) -> None:
        assert len(fill(fields(sources={"type": "array", "items": TEXT, "minItems": 3}))["sources"]) == 3
        assert len(fill(fields(steps={"type": "array", "items": TEXT, "maxItems": 2}))["steps"]) == 2

    def test_unique_items_are_unique(self) -> None:
        assert len(fill({"type": "array", "items": TEXT, "minItems": 4, "uniqueItems": True})) == 4

    def test_references_and_merged_parts_are_followed(self) -> None:
        schema = {
            "$defs": {
                "Base": fields(title=TEXT),
                "Step": {"allOf": [{"$ref": "#/$defs/Base"}, fields(number={"type": "integer"})]},
            },
            **fields(steps={"type": "array", "items": {"$ref": "#/$defs/Step"}}),
        }

        assert fill(schema)["steps"][0] == {"title": "Pin down what is asked", "number": 1}

    def test_tuples(self) -> None:
        schema = {"type": "array", "prefixItems": [TEXT, {"type": "integer"}], "items": False}

        assert fill(schema, "take 5")[1] == 5

    def test_a_schema_that_contains_itself_ends(self) -> None:
        node = fields(name=TEXT, children={"type": "array", "items": {"$ref": "#/$defs/Node"}})
        schema = {"$defs": {"Node": node}, "$ref": "#/$defs/Node"}

        assert fill(schema)["name"]

    def test_a_schema_that_must_contain_itself_ends_too(self) -> None:
        schema = {"$defs": {"Node": fields(child={"$ref": "#/$defs/Node"})}, "$ref": "#/$defs/Node"}

        assert fill_schema(schema, task_for(BOOKS))

    @pytest.mark.parametrize(
        "schema",
        [
            {},
            {"$ref": "#/nowhere"},
            {"$ref": "https://elsewhere/x"},
            {"type": "string", "pattern": "(?<=x)["},
            {"anyOf": [True]},
        ],
    )
    def test_odd_schemas_get_something(self, schema: dict[str, Any]) -> None:
        assert fill_schema(schema, task_for(BOOKS)) is not None


class TestSupervisors:
    NEXT = fields(next={"type": "string", "enum": ["writer", "critic", "FINISH"]})

    def test_everybody_speaks_once_and_then_it_is_over(self) -> None:
        chosen = []
        chat: list[dict[str, Any]] = []
        for _ in range(3):
            chosen.append(fill(self.NEXT, chat=chat)["next"])
            chat.append({"role": "assistant", "content": "said", "name": chosen[-1]})

        assert chosen == ["writer", "critic", "FINISH"]

    def test_speakers_without_a_name_cannot_keep_it_going(self) -> None:
        assert fill(self.NEXT, chat=[{"role": "assistant", "content": "said"}])["next"] == "FINISH"


class TestWordsOfTheRequest:
    @pytest.mark.parametrize(
        ("name", "request_text", "expected"),
        [
            ("location", "What is the weather in San Francisco, CA?", "San Francisco, CA"),
            ("customer_name", "Create a customer named '你好啊集团' (Hello Group)", "你好啊集团"),
            ("customer_name", "Create a customer called Ada with a discount", "Ada"),
            ("city", "city: Graz, days: 3", "Graz"),
            ("url", "Fetch https://example.org/a?b=1 now.", "https://example.org/a?b=1"),
            ("email", "Write to ada@example.org.", "ada@example.org"),
            ("expression", "What is (3 + 4) * 2?", "(3 + 4) * 2"),
            ("date", "Remind me on 2026-05-01", "2026-05-01"),
            ("query", "Search the web for cheap trains to Graz", "cheap trains to Graz"),
        ],
    )
    def test_arguments_are_read_from_the_request(self, name: str, request_text: str, expected: str) -> None:
        assert fill(fields(**{name: TEXT}), request_text)[name] == expected

    def test_numbers_are_taken_in_their_order(self) -> None:
        number = {"type": "integer"}

        assert fill(fields(a=number, b=number), "What is 3 + 4") == {"a": 3, "b": 4}
        assert fill(fields(a=number, b={"type": "integer", "default": 9}), "Take 3") == {"a": 3, "b": 9}

    def test_quoted_words_are_taken_in_their_order(self) -> None:
        assert fill(fields(first=TEXT, second=TEXT), "swap 'x' and \"y\"") == {"first": "x", "second": "y"}


class TestNoise:
    SCHEMA = fields(summary=TEXT, steps=TEXTS, status={"enum": ["ok", "bad"]}, code={"type": "string", "maxLength": 40})

    def test_noise_keeps_to_the_schema(self) -> None:
        assert fill(self.SCHEMA, noise=1.0) != fill(self.SCHEMA)


@pytest.mark.parametrize(
    "pattern",
    [
        "^a+$",
        r"^\d{3}-\d{2}$",
        "^(foo|bar)$",
        "[^abc]x",
        r"^\w+@\w+\.com$",
        "^$",
        r"(?:ab){2,3}",
        r"^[\]a-c]{2}$",
        "^[α-ω]+$",
    ],
)
def test_a_text_is_built_for_a_pattern(pattern: str) -> None:
    assert text_for_pattern(pattern) is not None


@pytest.mark.parametrize("pattern", [r"(a)\1", "(?=x)y", "[", "a{2", "(", "x" * 10 + "("])
def test_patterns_that_are_too_hard_are_left_alone(pattern: str) -> None:
    text_for_pattern(pattern)


@given(st.floats(-1e6, 1e6), st.integers(-1000, 1000), st.integers(0, 1000), st.sampled_from([None, 1, 5, 0.5]))
def test_numbers_keep_to_their_bounds(number: float, low: int, width: int, step: float | None) -> None:
    schema: dict[str, Any] = {"minimum": low, "maximum": low + width + 10, **({"multipleOf": step} if step else {})}

    value = fit_number(number, schema, is_integer=False)

    Draft202012Validator(schema).validate(value)


_NAMES = st.sampled_from(
    ["files", "steps", "approved", "summary", "path", "content", "next", "query", "sources", "x", "naïve"]
)
_LEAVES = st.one_of(
    st.just({"type": "string"}),
    st.just({"type": "boolean"}),
    st.just({"type": "null"}),
    st.builds(lambda low: {"type": "string", "minLength": low, "maxLength": low + 5}, st.integers(0, 50)),
    st.builds(lambda low: {"type": "integer", "minimum": low, "maximum": low + 3}, st.integers(-99, 99)),
    st.builds(lambda values: {"enum": values}, st.lists(st.text(max_size=5), min_size=1, max_size=4, unique=True)),
    st.builds(lambda value: {"const": value}, st.one_of(st.text(max_size=5), st.integers(), st.none())),
)
_SCHEMAS = st.recursive(
    _LEAVES,
    lambda inner: st.one_of(
        st.builds(lambda properties: fields(**properties), st.dictionaries(_NAMES, inner, max_size=4)),
        st.builds(
            lambda item, low: {"type": "array", "items": item, "minItems": low, "maxItems": low + 2},
            inner,
            st.integers(0, 3),
        ),
        st.builds(lambda options: {"anyOf": options}, st.lists(inner, min_size=1, max_size=3)),
    ),
    max_leaves=12,
)


@settings(max_examples=300, deadline=None)
@given(_SCHEMAS, st.sampled_from([BOOKS, "Who won?", "", "take 5 'x'"]), st.sampled_from([0.0, 1.0]))
def test_any_schema_is_satisfied(schema: dict[str, Any], request_text: str, noise: float) -> None:
    fill(schema, request_text, noise=noise)
