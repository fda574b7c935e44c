import subprocess
import sys

import pytest

import shadowgraph

HEAVY = ("langgraph", "langchain_core", "pydantic", "sqlalchemy", "fastapi", "httpx")


def _fresh_python(code: str) -> str:
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return done.stdout.strip()


def test_importing_the_package_loads_nothing_heavy() -> None:
    loaded = _fresh_python(f"import shadowgraph, sys; print([name for name in {HEAVY} if name in sys.modules])")

    assert loaded == "[]"


def test_all_public_names_are_there() -> None:
    for name in shadowgraph.__all__:
        assert callable(getattr(shadowgraph, name))
        assert name in dir(shadowgraph)


def test_an_unknown_name_is_refused_as_python_does() -> None:
    with pytest.raises(AttributeError, match="no attribute 'chatmodel'"):
        _ = shadowgraph.chatmodel


def test_the_authoring_functions_load_no_database_or_web_framework() -> None:
    code = (
        "import sys; from shadowgraph import artifact, chat_model, now, prompt, rand, tool; "
        "print([n for n in ('sqlalchemy', 'aio_pika', 'fastapi', 'langchain_groq') if n in sys.modules])"
    )

    assert _fresh_python(code) == "[]"
