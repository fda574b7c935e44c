from shadowgraph.agents.nodes.finalizer import MAX_LISTED_FILES, finalizer
from shadowgraph.agents.state import Checks, FileSummary, PipelineState
from tests.support.ports import ports_in_place
from tests.unit.agents.team import NOTES, PLAN, VALIDATION, build_ports


def _file(path: str) -> FileSummary:
    return FileSummary(path=path, language="python", size_bytes=1, summary="")


def _state(**changes: object) -> PipelineState:
    state: PipelineState = {
        "query": "Build f",
        "notes": dict(NOTES),
        "web": "",
        "sources": [],
        "plan": dict(PLAN),
        "validation": dict(VALIDATION),
        "files": [_file("app.py")],
        "refused": [],
        "checks": Checks(status="passed", tests=7, summary="tests: 7 passed", output=""),
    }
    return {**state, **changes}  # type: ignore[typeddict-item]


async def _finish(state: PipelineState, text: str = "Here is f.\n") -> str:
    with ports_in_place(build_ports({"finalizer": text})):
        written = await finalizer(state)
    return str(written["answer"])


async def test_the_outcome_stands_below_the_models_text() -> None:
    assert await _finish(_state()) == "Here is f.\n\n- files: `app.py`\n- tests: 7 passed"


async def test_what_went_wrong_is_said_whatever_the_model_claims() -> None:
    state = _state(
        checks=Checks(status="failed", tests=3, summary="tests: failed: tests failed", output="…"),
        refused=[{"path": "../x", "reason": "climbs out"}],
        web="the search engine did not answer in time",
    )

    answer = await _finish(state, "Everything works perfectly.")

    assert "- tests: failed: tests failed" in answer
    assert "- not written: `../x`: climbs out" in answer
    assert "- web: not everything could be looked up: the search engine did not answer in time" in answer


async def test_the_answer_to_a_question_is_the_models_text_alone() -> None:
    state = _state(files=[], checks=Checks(status="none", tests=0, summary="", output=""))

    assert await _finish(state, "A monad is …") == "A monad is …"


async def test_a_long_list_of_files_is_cut() -> None:
    answer = await _finish(_state(files=[_file(f"{n}.py") for n in range(MAX_LISTED_FILES + 5)]))

    assert answer.count("`") == 2 * MAX_LISTED_FILES
    assert " and 5 more" in answer
