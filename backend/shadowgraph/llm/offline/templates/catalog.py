"""All templates, and which one fits a request."""

from shadowgraph.llm.offline.templates import crud, csv_report, function, note, react, skeleton, snake, todo
from shadowgraph.llm.offline.templates.base import TemplateEntry

GOOD_ENOUGH = 2
"""A request that scores less with every template gets the skeleton."""

TEMPLATES: tuple[TemplateEntry, ...] = (
    snake.TEMPLATE,
    crud.TEMPLATE,
    todo.TEMPLATE,
    csv_report.TEMPLATE,
    react.TEMPLATE,
    function.TEMPLATE,
)
_BY_NAME = {entry.name: entry for entry in (*TEMPLATES, skeleton.TEMPLATE, note.TEMPLATE)}


def pick_template(request: str) -> TemplateEntry | None:
    text = request.lower()
    best = max(TEMPLATES, key=lambda entry: entry.match(text))
    return best if best.match(text) >= GOOD_ENOUGH else None


def get_template(name: str) -> TemplateEntry:
    return _BY_NAME[name]
