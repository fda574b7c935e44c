"""Functions with tests: the few dozen that everybody asks a code generator for. Others get the skeleton, which says so."""

import re
import textwrap

from shadowgraph.llm.offline.names import class_name
from shadowgraph.llm.offline.templates.base import UNIT_TESTS, Program, SourceFile, TemplateEntry, render
from shadowgraph.llm.offline.templates.recipes.base import Recipe
from shadowgraph.llm.offline.templates.recipes.lists import LIST_RECIPES
from shadowgraph.llm.offline.templates.recipes.numbers import NUMBER_RECIPES
from shadowgraph.llm.offline.templates.recipes.texts import TEXT_RECIPES

MAX_FUNCTIONS = 3
RECIPES = (*NUMBER_RECIPES, *TEXT_RECIPES, *LIST_RECIPES)
_PATTERNS = tuple((recipe, re.compile(rf"\b(?:{recipe.words})\b")) for recipe in RECIPES)
_FUNCTION = re.compile(
    r"\b(?:functions?|methods?|def|algorithms?|code|script|program|python|funktion|funci[óo]n|fonction)\b"
)


def match(text: str) -> int:
    found = find_recipes(text)
    return 2 * bool(found) + bool(found and _FUNCTION.search(text))


def find_recipes(text: str) -> tuple[Recipe, ...]:
    """In the order in which the request names them."""
    places = [(found.start(), recipe) for recipe, pattern in _PATTERNS if (found := pattern.search(text))]
    return tuple(recipe for _, recipe in sorted(places, key=lambda place: place[0]))[:MAX_FUNCTIONS]


def build(request: str) -> Program:
    recipes = find_recipes(request.lower())
    names = " and ".join(f"`{recipe.name}`" for recipe in recipes)
    return Program(
        template="function",
        title=f"Function{'s' if len(recipes) > 1 else ''} {', '.join(recipe.name for recipe in recipes)}",
        summary=f"{names}: {'; '.join(recipe.does for recipe in recipes)}, with tests.",
        files=tuple(file for recipe in recipes for file in _files_of(recipe)),
        run_command="\n".join(f"python3 -c 'import {recipe.name}; help({recipe.name})'" for recipe in recipes),
        test_command=UNIT_TESTS,
        design=(
            "Each function is pure: the same input always gives the same output, and nothing else changes.",
            "Wrong input is refused with an error at once instead of giving a wrong result.",
            "The tests state known values first, then a law that must hold for many inputs.",
        ),
    )


def _files_of(recipe: Recipe) -> tuple[SourceFile, SourceFile]:
    source = recipe.source.strip("\n")
    gap = "\n" if source.startswith("def ") else ""
    module = render(_MODULE, does=f"{recipe.does[0].upper()}{recipe.does[1:]}", source=f"{gap}{source}")
    return (
        SourceFile(f"{recipe.name}.py", module, recipe.does),
        SourceFile(
            f"test_{recipe.name}.py", _test_source(recipe), "known values, refused input, and a law for many inputs"
        ),
    )


def _test_source(recipe: Recipe) -> str:
    methods = [_KNOWN_VALUES, _REFUSED if recipe.refused else "", textwrap.indent(recipe.laws.strip("\n"), "    ")]
    return render(
        _TEST,
        name=recipe.name,
        imported=", ".join(_public_names(recipe)),
        class_name=class_name(recipe.name),
        constants="\n\n".join(_constants(recipe)),
        methods=render("\n\n".join(method.strip("\n") for method in methods if method), name=recipe.name),
    )


def _constants(recipe: Recipe) -> list[str]:
    constants = [f"KNOWN_VALUES: list[tuple[tuple[Any, ...], Any]] = [\n{textwrap.indent(recipe.cases, '    ')}\n]"]
    if recipe.refused:
        constants.append(
            f"REFUSED: list[tuple[tuple[Any, ...], type[Exception]]] = [\n{textwrap.indent(recipe.refused, '    ')}\n]"
        )
    return constants


def _public_names(recipe: Recipe) -> list[str]:
    """The functions of the module that its tests use."""
    defined = re.findall(r"^def ([a-z]\w*)", recipe.source, re.MULTILINE)
    return sorted({recipe.name, *(name for name in defined if re.search(rf"\b{name}\(", recipe.laws))})


_MODULE = '''
"""$does."""

from __future__ import annotations

$source
'''

_TEST = '''
"""Tests of $name. Run them with: python3 -m unittest -q"""

from __future__ import annotations

import unittest
from typing import Any

from $name import $imported

$constants


class ${class_name}Test(unittest.TestCase):
$methods


if __name__ == "__main__":
    unittest.main()
'''

_KNOWN_VALUES = """
    def test_known_values(self) -> None:
        for arguments, expected in KNOWN_VALUES:
            with self.subTest(arguments=arguments):
                self.assertEqual($name(*arguments), expected)
"""

_REFUSED = """
    def test_wrong_input_is_refused(self) -> None:
        for arguments, error in REFUSED:
            with self.subTest(arguments=arguments), self.assertRaises(error):
                $name(*arguments)
"""

TEMPLATE = TemplateEntry("function", match, build)
