"""What a test needs from the machine: without it the test is skipped, and with SHADOWGRAPH_TEST_REQUIRE=all it fails."""

import os
from typing import NoReturn

import pytest

REQUIRE_VARIABLE = "SHADOWGRAPH_TEST_REQUIRE"


def skip_or_fail(reason: str) -> NoReturn:
    """`reason` is one line: what is missing and what would mend it."""
    if os.environ.get(REQUIRE_VARIABLE) == "all":
        pytest.fail(f"{REQUIRE_VARIABLE}=all, but {reason}", pytrace=False)
    pytest.skip(reason)
