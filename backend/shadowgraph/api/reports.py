"""A run as a page that people read. Pure."""

import re
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any

import orjson

from shadowgraph.api.schemas.details import Artifact, LlmAttempt, RunExport, Step
from shadowgraph.api.schemas.runs import Run, RunError

_NEEDS_ESCAPE = re.compile(r"([\\`*_{}\[\]<>#|~])")


def render_report(export: RunExport) -> str:
    """Markdown. Texts of the run stand in fences or escaped, so that they cannot change the page around them."""
    sections = [
        _heading(export.run),
        *_request(export.run),
        *_outcome(export.run),
        *_steps(export.steps),
        *_files(export.artifacts),
        *_calls(export.llm_attempts),
    ]
    return "\n\n".join(sections) + "\n"


def _heading(run: Run) -> str:
    usage = run.usage
    cost = "unknown" if usage.cost_usd is None else f"${usage.cost_usd}"
    rows = {
        "Run": run.id,
        "Workflow": f"{escape(run.workflow)} {run.version}",
        "Status": run.status + (f" ({escape(run.reason)})" if run.reason else ""),
        "Created": _time(run.created_at),
        "Started": _time(run.started_at),
        "Finished": _time(run.finished_at),
        "Tokens": f"{usage.prompt_tokens} in, {usage.completion_tokens} out",
        "Cost": f"{cost} ({usage.cost_state})",
    }
    return f"# {escape(_one_line(run.preview)) or run.id}\n\n" + _table(("", ""), list(rows.items()))


def _request(run: Run) -> Iterator[str]:
    yield "## Request"
    yield fence(run.query) if run.input == {"query": run.query} and run.query else fence_json(run.input)


def _outcome(run: Run) -> Iterator[str]:
    if run.error:
        yield "## Error"
        yield _error(run.error)
    if run.result is not None:
        yield "## Result"
        yield from _result(run.result)


def _error(error: RunError) -> str:
    place = f" in step {escape(error.step)}" if error.step else ""
    hint = f"\n\n{escape(error.hint)}" if error.hint else ""
    return f"`{error.code}`{place}\n\n{fence(error.detail)}{hint}"


def _result(result: Any) -> Iterator[str]:
    """The result of a graph is {output, text}: its output state and, where it talks, its last words."""
    if not isinstance(result, Mapping):
        yield fence_json(result)
        return
    if isinstance(text := result.get("text"), str):
        yield fence(text)
    output = result.get("output", result)
    if not isinstance(output, Mapping):
        yield fence_json(output)
        return
    for name, value in output.items():
        yield f"### {escape(_one_line(str(name)))}"
        yield fence(value) if isinstance(value, str) else fence_json(value)


def _steps(steps: Sequence[Step]) -> Iterator[str]:
    if not steps:
        return
    yield "## Steps"
    rows = [
        (str(step.superstep), escape(step.node), str(step.attempt), step.status, _seconds(step), _cell(step.summary))
        for step in steps
    ]
    yield _table(("#", "Node", "Attempt", "Status", "Seconds", "Summary"), rows)


def _files(artifacts: Sequence[Artifact]) -> Iterator[str]:
    if not artifacts:
        return
    yield "## Files"
    rows = [(escape(item.path), str(item.size), escape(item.media_type), f"`{item.sha256[:12]}`") for item in artifacts]
    yield _table(("Path", "Bytes", "Type", "SHA-256"), rows)


def _calls(attempts: Sequence[LlmAttempt]) -> Iterator[str]:
    if not attempts:
        return
    yield "## Model calls"
    rows = [
        (
            escape(item.agent),
            escape(f"{item.provider}:{item.model}"),
            str(item.n),
            item.status,
            str(item.prompt_tokens or 0),
            str(item.completion_tokens or 0),
        )
        for item in attempts
    ]
    yield _table(("Agent", "Model", "Attempt", "Status", "Tokens in", "Tokens out"), rows)


def escape(text: str) -> str:
    """Plain text in Markdown."""
    return _NEEDS_ESCAPE.sub(r"\\\1", text)


def fence(text: str, language: str = "") -> str:
    """A block whose fence is longer than any run of backticks inside."""
    longest = max((len(run) for run in re.findall(r"`+", text)), default=0)
    bar = "`" * max(3, longest + 1)
    return f"{bar}{language}\n{text}\n{bar}"


def fence_json(value: Any) -> str:
    return fence(orjson.dumps(value, option=orjson.OPT_INDENT_2).decode(), "json")


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    return "\n".join(f"| {' | '.join(row)} |" for row in [head, ["---"] * len(head), *rows])


def _cell(text: str | None) -> str:
    return escape(_one_line(text or ""))


def _one_line(text: str) -> str:
    return " ".join(text.split())


def _time(moment: datetime | None) -> str:
    return moment.strftime("%Y-%m-%d %H:%M:%S UTC") if moment else "–"


def _seconds(step: Step) -> str:
    return f"{(step.finished_at - step.started_at).total_seconds():.1f}" if step.finished_at else "–"
