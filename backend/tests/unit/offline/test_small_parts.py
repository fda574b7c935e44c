import pytest
from hypothesis import given
from hypothesis import strategies as st

from shadowgraph.llm.offline.names import class_name, identifier, plural, singular
from shadowgraph.llm.offline.noise import Noise
from shadowgraph.llm.offline.plan import Step, shorten_plan
from shadowgraph.llm.offline.roles import role_of_fields, role_of_prompt
from shadowgraph.llm.offline.templates.jsx import structural_problems
from shadowgraph.llm.offline.templates.react import build
from shadowgraph.llm.offline.tokens import count_tokens, cut_to, split_pieces

COMPONENT = "export default function Card() {\n  return <p>{1}</p>;\n}\n"


class TestNames:
    @given(st.text(max_size=80))
    def test_whatever_goes_in_a_python_name_comes_out(self, text: str) -> None:
        name = identifier(text, fallback="item")

        assert name.isidentifier()
        assert name.isascii()
        assert len(name) <= 31

    @pytest.mark.parametrize(
        ("text", "name"),
        [
            ("Publication Year", "publication_year"),
            ("année", "annee"),
            ("class", "class_"),
            ("2nd try", "nd_try"),
            ("书", "item"),
        ],
    )
    def test_names_are_folded_to_ascii(self, text: str, name: str) -> None:
        assert identifier(text, fallback="item") == name

    @pytest.mark.parametrize(
        ("one", "many"),
        [
            ("book", "books"),
            ("category", "categories"),
            ("box", "boxes"),
            ("blog_post", "blog_posts"),
            ("size", "sizes"),
        ],
    )
    def test_singular_and_plural(self, one: str, many: str) -> None:
        assert plural(one) == many
        assert singular(many) == one
        assert singular(one) == one

    def test_class_names(self) -> None:
        assert class_name("blog_post") == "BlogPost"
        assert class_name("none") == "NoneItem"


class TestTokens:
    @given(st.text(max_size=500))
    def test_pieces_make_up_the_text(self, text: str) -> None:
        assert "".join(split_pieces(text)) == text

    @given(st.text(max_size=300), st.integers(0, 60))
    def test_a_cut_text_is_a_beginning_with_at_most_that_many_tokens(self, text: str, limit: int) -> None:
        assert text.startswith(cut_to(text, limit))
        assert count_tokens(cut_to(text, limit)) <= limit

    def test_nothing_has_no_tokens(self) -> None:
        assert count_tokens("") == 0


class TestPlans:
    STEPS = tuple(Step(f"t{n}", f"d{n}", f"a{n}", (f"f{n}",)) for n in range(7))

    @pytest.mark.parametrize("limit", range(1, 10))
    def test_a_shorter_plan_does_the_same_work(self, limit: int) -> None:
        plan = shorten_plan(self.STEPS, limit)

        assert len(plan) == min(limit, 7)
        assert [path for step in plan for path in step.files] == [f"f{n}" for n in range(7)]


class TestRoles:
    @pytest.mark.parametrize(
        ("prompt", "role"),
        [
            ("You are the planner in a team of five: researcher, planner, coder.", "plan"),
            ("You are a senior software engineer.", "code"),
            ("You write the final report.", "final"),
            ("Review this plan.", "review"),
            ("You are a helpful assistant.", None),
            ("", None),
        ],
    )
    def test_of_prompts(self, prompt: str, role: str | None) -> None:
        assert role_of_prompt(prompt) == role

    def test_of_schemas(self) -> None:
        assert role_of_fields(["summary", "needs_search"]) == "research"
        assert role_of_fields(["goal", "steps"]) == "plan"
        assert role_of_fields(["approved", "issues"]) == "review"
        assert role_of_fields(["files", "notes"]) == "code"
        assert role_of_fields(["answer"]) == "final"


class TestStructureOfComponents:
    def test_a_sound_component_has_no_problems(self) -> None:
        assert structural_problems(COMPONENT) == []

    @pytest.mark.parametrize(
        ("source", "problem"),
        [
            (COMPONENT.replace("</p>", ""), "<p> is never closed"),
            (COMPONENT.replace("<p>", ""), "</p> closes nothing"),
            (COMPONENT.replace("{1}", "{1"), "{ is never closed"),
            (COMPONENT + "(", "( is never closed"),
            (COMPONENT.replace("export ", ""), "no component is exported"),
        ],
    )
    def test_a_broken_one_is_seen(self, source: str, problem: str) -> None:
        assert any(problem in found for found in structural_problems(source))

    def test_brackets_in_texts_and_comments_do_not_count(self) -> None:
        assert structural_problems(f'const x = "("; // )\n{COMPONENT}') == []

    @pytest.mark.parametrize(
        ("request_text", "name", "contains"),
        [
            ("React component for a user card with name, email and avatar url", "UserCard.tsx", "avatarUrl: string;"),
            ("React login form", "LoginForm.tsx", 'type="password"'),
            ("react table of products with name, price, in_stock", "ProductList.tsx", 'item.inStock ? "yes" : "no"'),
            ("a react counter", "Counter.tsx", "setCount(start)"),
            ("React component for class, default, function and key", "", ""),
            ("React 🎉", "ItemCard.tsx", "ItemCardProps"),
        ],
    )
    def test_every_kind_of_component_is_sound(self, request_text: str, name: str, contains: str) -> None:
        component = build(request_text).files[0]

        assert structural_problems(component.content) == []
        assert name in component.path
        assert contains in component.content


class TestNoise:
    def test_none_changes_nothing(self) -> None:
        silent = Noise(0.0, "7")

        assert silent.prose("It keeps several tests", "x") == "It keeps several tests"
        assert silent.order([1, 2, 3], "x") == (1, 2, 3)
        assert not silent.happens(1.0, "x")

    def test_all_there_is_changes_every_word_that_has_another(self) -> None:
        assert Noise(1.0, "7").prose("It keeps several test cases", "x") == "It stores multiple tests"

    def test_names_in_code_and_paths_keep_their_words(self) -> None:
        text = "`checks` and ends.py and tests/ and shows()"

        assert Noise(1.0, "7").prose(text, "x") == text

    @given(st.lists(st.integers(), max_size=9), st.floats(0, 1))
    def test_order_loses_nothing(self, items: list[int], level: float) -> None:
        assert sorted(Noise(level, "7").order(items, "x")) == sorted(items)
