"""The tools that graphs can ask for by name, `shadowgraph.tool("web_search")`. A new tool is one more `Tool(...)` in this list.

`run` is `async (arguments, context) -> JSON`. `effect` says what a call may change: `pure`, `read`, `write` or `irreversible`; leave it out
and it counts as a write, which is never repeated after a crash and never executed in a dry run.
"""

from shadowgraph.core.calls import ToolDescription
from shadowgraph.tools.files import MAX_FILE_BYTES, MAX_TOTAL_BYTES, parse_files
from shadowgraph.tools.registry import Tool, ToolRegistry
from shadowgraph.tools.run_python import LIMITS, MAX_WAIT_SECONDS, PythonTests
from shadowgraph.tools.sandbox import Sandbox
from shadowgraph.tools.web_search import SEARCH_TIMEOUT_SECONDS, WebSearch


def build_registry(*, sandbox: Sandbox | None = None, web: WebSearch | None = None) -> ToolRegistry:
    return ToolRegistry([_web_search(web or WebSearch()), _run_python(sandbox or Sandbox()), _parse_files()])


def _web_search(web: WebSearch) -> Tool:
    return Tool(
        ToolDescription(
            name="web_search",
            description="Search the web. Returns titles, addresses and snippets, or says that the web is unavailable.",
            parameters=_object(
                required=["query"],
                query={"type": "string", "minLength": 1, "maxLength": 400},
                max_results={"type": "integer", "minimum": 1, "maximum": 10, "default": 5},
            ),
            effect="read",
            idempotent=True,
        ),
        run=web.search,
        timeout_seconds=SEARCH_TIMEOUT_SECONDS + 2,
    )


def _run_python(sandbox: Sandbox) -> Tool:
    source = {"type": "string", "maxLength": MAX_FILE_BYTES}
    return Tool(
        ToolDescription(
            name="run_python",
            description="Run the unittest tests among these files in a sandbox without network or installed packages.",
            parameters=_object(
                required=["files"],
                files={"type": "object", "description": "Text by relative path.", "additionalProperties": source},
            ),
            effect="pure",
            idempotent=True,
        ),
        run=PythonTests(sandbox).run,
        timeout_seconds=MAX_WAIT_SECONDS + 2 * LIMITS.wall_seconds,
    )


def _parse_files() -> Tool:
    return Tool(
        ToolDescription(
            name="parse_files",
            description="Take the files out of an answer that holds them as ```lang:path code blocks.",
            parameters=_object(required=["text"], text={"type": "string"}),
            effect="pure",
            idempotent=True,
        ),
        run=parse_files,
        max_result_bytes=4 * MAX_TOTAL_BYTES,
    )


def _object(*, required: list[str], **properties: object) -> dict[str, object]:
    return {"type": "object", "properties": properties, "required": required, "additionalProperties": False}
