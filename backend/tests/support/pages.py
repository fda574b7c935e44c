"""Code that documentation pages show, as files."""

import re
from pathlib import Path

ROOT = Path(__file__).parents[3]
DOCS = ROOT / "docs"

_NAMED_BLOCK = re.compile(r"^```\w+ (?P<name>\S+)\n(?P<body>.*?)^```$", re.MULTILINE | re.DOTALL)


def named_blocks(page: str, heading: str = "") -> dict[str, str]:
    """Code blocks that carry a file's name, by that name; only those below `heading`, when there is one."""
    text = (DOCS / page).read_text()
    if heading:
        text = text.split(f"{heading}\n", 1)[1]
    return {match["name"]: match["body"] for match in _NAMED_BLOCK.finditer(text)}


def write_blocks(folder: Path, files: dict[str, str]) -> Path:
    for name, body in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(body)
    return folder
