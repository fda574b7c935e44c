"""For a request that no template fits: a start that says that it is one. Its test fails until somebody does the work."""

import json

from shadowgraph.llm.offline.names import identifier, words
from shadowgraph.llm.offline.templates.base import UNIT_TESTS, Program, SourceFile, TemplateEntry, render

MAX_QUOTE = 300
_FILLER = {
    *("build", "create", "write", "make", "implement", "generate", "code", "develop", "program", "design", "script", "please", "a", "an", "the", "me", "my"),
    *("i", "we", "you", "need", "want", "can", "could", "would", "with", "for", "to", "of", "and", "that", "which", "in", "on", "using", "some", "small", "simple"),
    *("new", "python", "give", "add", "us", "it", "is", "are", "be", "should"),
}  # fmt: skip
_TAKEN_MODULES = {
    "test",
    "unittest",
    "code",
    "json",
    "string",
    "types",
    "random",
    "calendar",
    "email",
    "http",
    "time",
    "math",
    "html",
    "queue",
    "select",
    "site",
    "token",
}


def match(text: str) -> int:
    del text  # it is chosen when nothing else fits
    return 0


def build(request: str) -> Program:
    module = _module_name(request)
    values = {"module": module, "request": json.dumps(" ".join(request.split())[:MAX_QUOTE])}
    return Program(
        template="skeleton",
        title=f"Skeleton: {module.replace('_', ' ')}",
        summary="A skeleton whose test fails until somebody does the work: the rules of the offline demo model know nothing of its subject.",
        files=(
            SourceFile(f"{module}.py", render(_MODULE, **values), "the entry point; it raises NotImplementedError"),
            SourceFile(f"test_{module}.py", render(_TEST, **values), "shows that the work is not done"),
        ),
        run_command=f"python3 {module}.py",
        test_command=UNIT_TESTS,
        design=("Nothing is designed yet: a plan for this needs a real language model or a person.",),
        limitations=(
            "There is no template for this request; templates exist for a snake game, a REST API, well-known functions with tests, a to-do list, a CSV report and a React component.",
            "The test fails on purpose until the skeleton is filled in.",
        ),
    )


def _module_name(request: str) -> str:
    telling = [word for word in words(request[:MAX_QUOTE]) if word not in _FILLER]
    name = identifier("_".join(telling[:3]), fallback="task").rstrip("_")
    return f"{name}_task" if name in _TAKEN_MODULES or name.startswith("test") else name


_MODULE = '''
"""A skeleton: the offline demo model has no template for this request, so nothing of it is done yet."""

from __future__ import annotations

import sys

REQUEST = $request


def main() -> int:
    """Does what the request asks for. Returns the exit status."""
    raise NotImplementedError(f"not done yet: {REQUEST}")


if __name__ == "__main__":
    sys.exit(main())
'''

_TEST = '''
"""Shows that the work is not done. Replace it with tests of what the request asks for."""

from __future__ import annotations

import unittest

from $module import REQUEST, main


class UnfinishedTest(unittest.TestCase):
    def test_the_request_is_fulfilled(self) -> None:
        try:
            main()
            is_done = True
        except NotImplementedError:
            is_done = False

        self.assertTrue(is_done, f"this is only a skeleton, nothing is done yet: {REQUEST}")


if __name__ == "__main__":
    unittest.main()
'''

TEMPLATE = TemplateEntry("skeleton", match, build)
