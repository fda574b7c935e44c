import subprocess
import sys

LOOK = """
import sys
from pathlib import Path
from shadowgraph.api.app import create_app
from shadowgraph.api.services import ApiServices
from shadowgraph.core.clock import SystemClock
from shadowgraph.core.settings import Settings
from shadowgraph.db.engine import Database
from shadowgraph.queue.inprocess import InProcessWakeups

create_app(
    ApiServices(
        database=Database("sqlite:///nothing.db"),
        clock=SystemClock(),
        settings=Settings(home=Path(".")),
        wakeups=InProcessWakeups(),
        nudge_relay=lambda: None,
    )
)
print([name for name in ("langgraph", "langchain_core", "groq") if name in sys.modules])
"""


def test_the_api_starts_without_the_graph_library() -> None:
    looked = subprocess.run([sys.executable, "-c", LOOK], capture_output=True, text=True, timeout=60)

    assert (looked.returncode, looked.stdout.strip()) == (0, "[]"), looked.stderr
