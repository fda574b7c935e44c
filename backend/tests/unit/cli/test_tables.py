"""Columns for people."""

from shadowgraph.cli.tables import Column, lay_out

COLUMNS = [
    Column("id", lambda item: item["id"]),
    Column("size", lambda item: item["size"], is_number=True),
    Column("text", lambda item: item["text"], may_be_cut=True),
]
ITEMS = [{"id": "a", "size": "1", "text": "short"}, {"id": "bbb", "size": "1000", "text": "a very long text"}]


def test_columns_stand_below_each_other() -> None:
    assert lay_out(ITEMS, COLUMNS, width=None) == [
        "id   size  text",
        "a       1  short",
        "bbb  1000  a very long text",
    ]


def test_on_a_terminal_only_the_last_column_is_cut() -> None:
    lines = lay_out(ITEMS, COLUMNS, width=22)

    assert lines[2] == "bbb  1000  a very lon…"
    assert lay_out(ITEMS, COLUMNS, width=1)[2].startswith("bbb  1000  ")


def test_a_value_stays_in_its_line() -> None:
    lines = lay_out([{"id": "a", "size": "1", "text": "x\ny\x1b[2J"}], COLUMNS, width=None)

    assert lines[1:] == ["a      1  x\\x0ay\\x1b[2J"]
