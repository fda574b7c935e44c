"""What the verify scripts promise holds: each is run as people run it, without a key and without a server."""

import subprocess
import sys

import pytest

from tests.chaos.matrix import whole_matrix
from tests.support.pages import ROOT

SCRIPTS = sorted((ROOT / "verify_scripts").glob("verify_*.py"))
IN_EVERY_RUN = {"verify_cost"}
"""The others take 40 s and more; what they show has tests of its own."""


@pytest.mark.timeout(600)
@pytest.mark.parametrize(
    "script",
    [
        pytest.param(script, id=script.stem, marks=[] if script.stem in IN_EVERY_RUN else [whole_matrix])
        for script in SCRIPTS
    ],
)
def test_it_says_ok(script: object) -> None:
    ended = subprocess.run([sys.executable, str(script)], cwd=ROOT, capture_output=True, text=True, check=False)

    assert (ended.returncode, ended.stdout.splitlines()[-1:]) == (0, ["ok: all of it holds"]), (
        ended.stdout + ended.stderr
    )
