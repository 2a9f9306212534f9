"""Where trio's DTLS runs."""

from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Final

from tests.bench.harness.child import ROOT, in_child
from tests.bench.harness.model import AbsentError, Measure, Side

NAME: Final = "trio DTLS"
PYTHON: Final = ROOT / ".venv" / ".bench-dtls" / "bin" / "python"


def message_flow(python: Path = PYTHON) -> Side:
    """Messages per second; absent without its environment."""
    if python.exists():
        return in_child("tests.bench.peers.trio_dtls", {}, python)

    def side() -> AbstractAsyncContextManager[Measure]:
        raise AbsentError("its environment is not there: `make bench` makes it (trio's DTLS needs pyOpenSSL 24.2.1)")

    return side
