"""What all tests share: what this machine must have, which tests are traced, how much a property is tried."""

import gc
import os
import sys
import threading
from collections.abc import Generator
from functools import cache
from pathlib import Path
from typing import Any, Final, NoReturn, cast

import pytest
from hypothesis import settings

REQUIRED = bool({"CI", "AEROLINK_REQUIRE"} & {name for name, value in os.environ.items() if value not in {"", "0"}})
"""Whether this machine is meant to run everything: then a test that cannot run has failed."""
THOROUGH: Final = os.environ.get("AEROLINK_THOROUGH", "0") not in {"", "0"}
"""Whether each property is tried with many more examples (``make test-slow``)."""

settings.register_profile("quick", deadline=None)  # a busy machine is no failure
settings.register_profile("thorough", max_examples=1_000, deadline=None)
settings.load_profile("thorough" if THOROUGH else "quick")


def require_or_skip(reason: str) -> NoReturn:
    """Skip a test for what this machine lacks, or fail where it must not lack anything."""
    if REQUIRED:
        pytest.fail(f"cannot run here, and AEROLINK_REQUIRE or CI is set: {reason}", pytrace=False)
    pytest.skip(reason)


def pytest_collection_finish() -> None:
    """Let the garbage collector pass over what was collected: ten thousand tests, looked through again and again."""
    gc.collect()
    gc.freeze()


def examples(count: int) -> int:
    """Return how many examples a property is tried with that takes its time: so many, or ten times as many."""
    return 10 * count if THOROUGH else count


# --- coverage -----------------------------------------------------------------------------------

_TESTS: Final = Path(__file__).parent
BARE: Final = (
    "property",
    "network",
    *(f"conformance/test_{name}.py" for name in ("http_smuggling", "noise_vectors", "own_vectors")),
    *(f"conformance/test_own_vectors_{name}.py" for name in ("failures", "traffic")),
    *(f"live/test_{name}.py" for name in ("attacks", "capture", "chain_kill", "cloud_clients", "cloud_crowd")),
    *(f"live/test_{name}.py" for name in ("cloud_kill", "cloud_scan", "demo_two", "errands", "errors", "https_crowd")),
    *(f"live/test_{name}.py" for name in ("malicious_logs", "malicious_mobile", "malicious_rc", "node_command")),
    *(f"live/test_{name}.py" for name in ("looking", "operator", "pages", "topologies", "wheel")),
    *(f"live/test_tunnel_{name}.py" for name in ("clients", "loss", "mavproxy", "mavsdk", "pairing", "rights")),
    *(f"unit/channels/test_{name}.py" for name in ("ages", "flight")),
    "unit/cloud/test_cloud_api.py",
    *(f"unit/flight/test_{name}.py" for name in ("model", "replay_definition", "telemetry")),
    *(f"unit/link/test_{name}.py" for name in ("1_3_denial", "1_5_sessions", "1_7_rekey", "path_attacks", "schedule")),
    "unit/nodes/test_stations.py",
    "unit/noise/test_hostile.py",
    *(f"unit/relay/test_{name}.py" for name in ("hostile", "links")),
    *(f"unit/test_{name}.py" for name in ("airlink", "docs", "secrets")),
)
"""Tests that run without coverage, which trebles their time: what attacks for long or a thousand times, or runs in
processes of its own. Their lines are reached by the others."""


@cache
def _is_bare_file(file: Path) -> bool:
    path = file.relative_to(_TESTS)
    return any(path.is_relative_to(each) for each in BARE)


def _is_bare(item: pytest.Item) -> bool:
    return _is_bare_file(item.path) or item.get_closest_marker("bare") is not None


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put what is not traced last: threads live on from test to test, and were born traced or not."""
    items.sort(key=_is_bare)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Generator[None]:
    """Run it without the tracer if it is bare. The marker ``no_cover`` does nothing in the workers of xdist."""
    tracer, of_threads = sys.gettrace(), threading.gettrace()
    if tracer is None or not _is_bare(item):
        return (yield)
    sys.settrace(None)
    threading.settrace(cast("Any", None))
    try:
        return (yield)
    finally:
        threading.settrace(cast("Any", of_threads))
        sys.settrace(tracer)
