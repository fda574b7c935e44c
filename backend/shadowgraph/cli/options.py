"""Arguments and options that several commands take."""

from pathlib import Path
from typing import Annotated

import typer

RunId = Annotated[
    str, typer.Argument(metavar="RUN_ID", help="As `run --detach` and `runs list` print it.", show_default=False)
]
Url = Annotated[
    str | None,
    typer.Option(
        "--url", metavar="URL", help="The server; without it SHADOWGRAPH_URL, else the one that `up` started here."
    ),
]
Fields = Annotated[str | None, typer.Option("--fields", metavar="A,B", help="Only these fields, in this order.")]
Limit = Annotated[int, typer.Option("--limit", min=1, max=500, metavar="N")]
Cursor = Annotated[str | None, typer.Option("--cursor", metavar="TEXT", help="Where the page before ended.")]
JsonLines = Annotated[bool, typer.Option("--jsonl", help="One JSON object per line on stdout.")]
Timeout = Annotated[
    float | None,
    typer.Option(
        "--timeout", min=0, metavar="S", help="Stop waiting after so many seconds (exit 124); the run goes on."
    ),
]

Port = Annotated[
    int | None, typer.Option("--port", min=0, max=65535, metavar="N", help="Default: PORT, else 8000; 0: any free one.")
]
Host = Annotated[
    str | None,
    typer.Option(
        "--host", metavar="ADDRESS", help="Default: HOST, else 127.0.0.1; others can reach any but loopback addresses."
    ),
]

MIN_MEMORY_MB = 256
"""A worker process needs nearly as much before it runs anything."""

MemoryLimit = Annotated[
    int | None,
    typer.Option(
        "--memory-limit",
        min=MIN_MEMORY_MB,
        metavar="MB",
        help="A worker process that takes more is killed and replaced; its runs go on in the next.",
    ),
]

Projects = Annotated[
    list[Path] | None,
    typer.Option(
        "--project", metavar="DIR", help="A folder with langgraph.json, beside the built-in one; may be repeated."
    ),
]


def split_fields(text: str | None) -> list[str] | None:
    return None if text is None else [name.strip() for name in text.split(",") if name.strip()]
