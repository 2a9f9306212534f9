"""Which files there are."""

from collections.abc import Callable
from pathlib import Path
from typing import Final

from tests.tools.make_vectors import codes, failures, handshakes
from tests.tools.make_vectors.base import Json, write

FOLDER: Final = Path(__file__).parents[3] / "specs" / "vectors"
FILES: Final[dict[str, tuple[str, Callable[[], list[Json]]]]] = {
    "handshake": ("pairing, session and rekey of every suite, from the keys to the first protected packets",
                  handshakes.vectors),
    "handshake-failure": ("handshake packets that are refused", failures.vectors),
    "linking-code": ("linking codes and every way of typing them", codes.vectors),
    "linking-code-failure": ("typed texts that are refused", codes.failures),
}  # fmt: skip


def make(folder: Path) -> None:
    """Write all files."""
    folder.mkdir(parents=True, exist_ok=True)
    for kind, (what, vectors) in FILES.items():
        write(folder, kind, what, vectors())
