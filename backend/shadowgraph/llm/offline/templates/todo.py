"""A to-do list for the command line: argparse, one JSON file, tests of the list and of the commands."""

import re

from shadowgraph.llm.offline.templates.base import UNIT_TESTS, Program, SourceFile, TemplateEntry, render

_TODO = re.compile(
    r"\bto-?\s?dos?\b|\btask (?:list|manager|tracker)\b|\b(?:aufgabenliste|lista de tareas|liste de t[âa]ches)\b"
)
_COMMAND_LINE = re.compile(r"\b(?:cli|command[- ]line|terminal|argparse|console)\b")


def match(text: str) -> int:
    return 4 + bool(_COMMAND_LINE.search(text)) if _TODO.search(text) else 0


def build(request: str) -> Program:
    del request  # every to-do list asks for the same commands
    return Program(
        template="todo",
        title="To-do list for the command line",
        summary="A command-line to-do list: add, list, complete, reopen and remove tasks with an optional due date, kept in one JSON file.",
        files=(
            SourceFile("tasks.py", render(_TASKS), "the task list and its JSON file"),
            SourceFile("todo.py", render(_TODO_CLI), "the commands, read with argparse"),
            SourceFile("test_tasks.py", render(_TEST_TASKS), "tests of the list and of the file"),
            SourceFile("test_todo.py", render(_TEST_CLI), "tests of the commands as a user types them"),
        ),
        run_command='python3 todo.py add "Water the plants" --due 2026-12-31\npython3 todo.py list',
        test_command=UNIT_TESTS,
        design=(
            "tasks.py holds the rules and the file, todo.py only turns words into calls and results into lines.",
            "The file is written beside the old one and then put in its place, so a crash cannot leave half a list.",
            "Numbers of tasks are never used again, so that a number in an old note keeps its meaning.",
            "Commands return an exit status and print errors to stderr, so that the tool can be used in scripts.",
        ),
        limitations=("Two commands that write at the same moment are not coordinated: the last one wins.",),
    )


_TASKS = '''
"""The task list and the JSON file that it lives in."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, replace
from datetime import date
from pathlib import Path


class TodoError(Exception):
    """Something the user can mend; the message says what."""


@dataclass(frozen=True)
class Task:
    number: int
    text: str
    done: bool = False
    due: str | None = None
    """A date such as 2026-12-31."""

    def is_overdue(self, today: date) -> bool:
        return self.due is not None and not self.done and date.fromisoformat(self.due) < today


class TaskList:
    def __init__(self, tasks: list[Task] | None = None, next_number: int = 1) -> None:
        self._tasks = {task.number: task for task in tasks or []}
        self._next_number = next_number

    def add(self, text: str, due: str | None = None) -> Task:
        if not text.strip():
            raise TodoError("a task needs a text")
        task = Task(self._next_number, text.strip(), due=check_date(due))
        self._next_number += 1
        self._tasks[task.number] = task
        return task

    def set_done(self, number: int, done: bool) -> Task:
        task = replace(self._require(number), done=done)
        self._tasks[number] = task
        return task

    def remove(self, number: int) -> Task:
        task = self._require(number)
        del self._tasks[number]
        return task

    def all(self) -> list[Task]:
        """Open tasks first, those with the nearest due date on top."""
        return sorted(self._tasks.values(), key=lambda task: (task.done, task.due or "9999-12-31", task.number))

    def to_json(self) -> str:
        value = {"next_number": self._next_number, "tasks": [asdict(task) for task in self._tasks.values()]}
        return json.dumps(value, indent=2, ensure_ascii=False)

    def _require(self, number: int) -> Task:
        if number not in self._tasks:
            raise TodoError(f"there is no task {number}")
        return self._tasks[number]


def check_date(text: str | None) -> str | None:
    if text is None:
        return None
    try:
        return date.fromisoformat(text).isoformat()
    except ValueError:
        raise TodoError(f"{text!r} is not a date; write it as 2026-12-31") from None


def load(path: Path) -> TaskList:
    """The list in a file; an empty one when there is no file yet."""
    if not path.exists():
        return TaskList()
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
        return TaskList([Task(**task) for task in value["tasks"]], value["next_number"])
    except (ValueError, KeyError, TypeError) as error:
        raise TodoError(f"{path} is not a to-do list: {error}") from error


def save(tasks: TaskList, path: Path) -> None:
    draft = path.with_name(f"{path.name}.new")
    draft.write_text(tasks.to_json(), encoding="utf-8")
    draft.replace(path)
'''

_TODO_CLI = '''
"""A to-do list for the command line: `python3 todo.py --help`."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from datetime import date
from pathlib import Path

from tasks import Task, TaskList, TodoError, load, save

DEFAULT_FILE = os.environ.get("TODO_FILE", "todo.json")


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs one command and returns the exit status: 0 ok, 1 an error the user can mend, 2 wrong usage (argparse)."""
    options = build_parser().parse_args(arguments)
    try:
        tasks = load(options.file)
        print(options.run(tasks, options))
        if options.writes:
            save(tasks, options.file)
    except (TodoError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


def build_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="todo", description="A to-do list in one JSON file.")
    parser.add_argument("--file", type=Path, default=Path(DEFAULT_FILE), help="the list (default: %(default)s, or TODO_FILE)")
    commands = parser.add_subparsers(dest="command", required=True)

    add = commands.add_parser("add", help="add a task")
    add.add_argument("text")
    add.add_argument("--due", help="a date such as 2026-12-31")
    add.set_defaults(run=run_add, writes=True)

    show = commands.add_parser("list", help="show the open tasks")
    show.add_argument("--all", action="store_true", help="completed ones too")
    show.set_defaults(run=run_list, writes=False)

    for name, run, text in (
        ("done", run_done, "mark a task as completed"),
        ("reopen", run_reopen, "open a completed task again"),
        ("remove", run_remove, "delete a task"),
    ):
        command = commands.add_parser(name, help=text)
        command.add_argument("number", type=int)
        command.set_defaults(run=run, writes=True)
    return parser


def run_add(tasks: TaskList, options: argparse.Namespace) -> str:
    return f"Added {describe(tasks.add(options.text, options.due))}"


def run_list(tasks: TaskList, options: argparse.Namespace) -> str:
    shown = [task for task in tasks.all() if options.all or not task.done]
    return "\\n".join(describe(task) for task in shown) or "Nothing to do."


def run_done(tasks: TaskList, options: argparse.Namespace) -> str:
    return f"Completed {describe(tasks.set_done(options.number, True))}"


def run_reopen(tasks: TaskList, options: argparse.Namespace) -> str:
    return f"Reopened {describe(tasks.set_done(options.number, False))}"


def run_remove(tasks: TaskList, options: argparse.Namespace) -> str:
    return f"Removed {describe(tasks.remove(options.number))}"


def describe(task: Task) -> str:
    mark = "x" if task.done else " "
    due = f"  (due {task.due})" if task.due else ""
    late = "  OVERDUE" if task.is_overdue(date.today()) else ""
    return f"{task.number:>3} [{mark}] {task.text}{due}{late}"


if __name__ == "__main__":
    sys.exit(main())
'''

_TEST_TASKS = '''
"""Tests of the list and of its file. Run them with: python3 -m unittest -q"""

from __future__ import annotations

import tempfile
import unittest
from datetime import date
from pathlib import Path

from tasks import Task, TaskList, TodoError, load, save


class TaskListTest(unittest.TestCase):
    def test_a_new_task_is_open(self) -> None:
        task = TaskList().add("  Water the plants  ")

        self.assertEqual(task, Task(1, "Water the plants"))

    def test_an_empty_text_is_refused(self) -> None:
        with self.assertRaises(TodoError):
            TaskList().add("   ")

    def test_a_date_that_does_not_exist_is_refused(self) -> None:
        with self.assertRaises(TodoError):
            TaskList().add("Celebrate", due="2026-02-30")

    def test_open_tasks_come_first_and_the_nearest_date_on_top(self) -> None:
        tasks = TaskList()
        tasks.add("no date")
        tasks.add("later", due="2026-06-01")
        tasks.add("sooner", due="2026-05-01")
        tasks.add("finished", due="2026-01-01")

        tasks.set_done(4, True)

        self.assertEqual([task.text for task in tasks.all()], ["sooner", "later", "no date", "finished"])

    def test_a_number_is_never_used_again(self) -> None:
        tasks = TaskList()
        tasks.add("first")
        tasks.remove(1)

        self.assertEqual(tasks.add("second").number, 2)

    def test_an_unknown_number_is_refused(self) -> None:
        with self.assertRaises(TodoError):
            TaskList().remove(9)
        with self.assertRaises(TodoError):
            TaskList().set_done(9, True)

    def test_only_open_tasks_are_overdue(self) -> None:
        today = date(2026, 5, 2)

        self.assertTrue(Task(1, "late", due="2026-05-01").is_overdue(today))
        self.assertFalse(Task(1, "done", done=True, due="2026-05-01").is_overdue(today))
        self.assertFalse(Task(1, "today", due="2026-05-02").is_overdue(today))


class FileTest(unittest.TestCase):
    def setUp(self) -> None:
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.path = Path(folder.name) / "todo.json"

    def test_a_missing_file_is_an_empty_list(self) -> None:
        self.assertEqual(load(self.path).all(), [])

    def test_what_is_saved_can_be_loaded(self) -> None:
        tasks = TaskList()
        tasks.add("Grüße schreiben", due="2026-12-24")

        save(tasks, self.path)

        self.assertEqual(load(self.path).all(), tasks.all())
        self.assertEqual(load(self.path).add("next").number, 2)

    def test_a_file_that_is_no_list_is_refused(self) -> None:
        for text in ("{broken", "[]", '{"tasks": [{"colour": 1}], "next_number": 1}'):
            self.path.write_text(text, encoding="utf-8")
            with self.subTest(text=text), self.assertRaises(TodoError):
                load(self.path)


if __name__ == "__main__":
    unittest.main()
'''

_TEST_CLI = '''
"""Tests of the commands as a user types them. Run them with: python3 -m unittest -q"""

from __future__ import annotations

import io
import tempfile
import unittest
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path

from todo import main


class CommandTest(unittest.TestCase):
    def setUp(self) -> None:
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.file = str(Path(folder.name) / "todo.json")

    def todo(self, *arguments: str) -> tuple[int, str]:
        """Exit status and everything that was printed."""
        output = io.StringIO()
        with redirect_stdout(output), redirect_stderr(output):
            try:
                status = main(["--file", self.file, *arguments])
            except SystemExit as stop:
                status = int(stop.code or 0)
        return status, output.getvalue()

    def test_an_added_task_is_listed(self) -> None:
        self.todo("add", "Water the plants", "--due", "2999-12-31")

        self.assertEqual(self.todo("list"), (0, "  1 [ ] Water the plants  (due 2999-12-31)\\n"))

    def test_a_completed_task_leaves_the_list(self) -> None:
        self.todo("add", "Water the plants")

        status, printed = self.todo("done", "1")

        self.assertEqual((status, printed), (0, "Completed   1 [x] Water the plants\\n"))
        self.assertEqual(self.todo("list"), (0, "Nothing to do.\\n"))
        self.assertIn("[x] Water the plants", self.todo("list", "--all")[1])

    def test_a_completed_task_can_be_reopened(self) -> None:
        self.todo("add", "Water the plants")
        self.todo("done", "1")

        self.todo("reopen", "1")

        self.assertIn("[ ] Water the plants", self.todo("list")[1])

    def test_a_removed_task_is_gone(self) -> None:
        self.todo("add", "Water the plants")

        self.todo("remove", "1")

        self.assertEqual(self.todo("list", "--all"), (0, "Nothing to do.\\n"))

    def test_an_overdue_task_is_marked(self) -> None:
        self.todo("add", "Renew the passport", "--due", "2001-01-01")

        self.assertIn("OVERDUE", self.todo("list")[1])

    def test_an_unknown_number_is_an_error(self) -> None:
        self.assertEqual(self.todo("done", "7"), (1, "error: there is no task 7\\n"))

    def test_wrong_usage_is_told_apart(self) -> None:
        self.assertEqual(self.todo("done", "many")[0], 2)
        self.assertEqual(self.todo("fly")[0], 2)


if __name__ == "__main__":
    unittest.main()
'''

TEMPLATE = TemplateEntry("todo", match, build)
