"""What all tests share."""

import os
from typing import NoReturn

import pytest

REQUIRED = bool({"CI", "AEROLINK_REQUIRE"} & {name for name, value in os.environ.items() if value not in {"", "0"}})
"""Whether this machine is meant to run everything: then a test that cannot run has failed."""


def require_or_skip(reason: str) -> NoReturn:
    """Skip a test for what this machine lacks, or fail where it must not lack anything."""
    if REQUIRED:
        pytest.fail(f"cannot run here, and AEROLINK_REQUIRE or CI is set: {reason}", pytrace=False)
    pytest.skip(reason)
