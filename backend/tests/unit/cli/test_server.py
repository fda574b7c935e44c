import os
from pathlib import Path

from shadowgraph.cli.server import Server, announced, read_server
from shadowgraph.core.settings import load_settings


def test_a_server_that_needs_no_folder_for_its_database_is_announced_all_the_same(tmp_path: Path) -> None:
    settings = load_settings({"DATABASE_URL": "postgresql://elsewhere/db"}, home=tmp_path).settings
    server = Server("http://127.0.0.1:1", os.getpid())

    with announced(settings, server):
        found = read_server(settings)

    assert found == server
    assert read_server(settings) is None
