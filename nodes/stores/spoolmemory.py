"""A store of sealed logs in memory, for tests, embedding and the demo: nothing survives the process."""

from collections.abc import Callable, Generator
from contextlib import contextmanager
from typing import TypeVar

import trio

from nodes.stores.logspool import LogSpool
from nodes.stores.spool import Spool
from nodes.stores.spoolrules import Row, SpoolLimits

T = TypeVar("T")


class _MemoryAppender:
    def __init__(self, content: bytearray) -> None:
        self._content = content

    def write(self, data: bytes) -> None:
        self._content += data

    def close(self, *, durable: bool) -> None: ...


class MemoryShelf:
    """Port Shelf on dictionaries."""

    def __init__(self) -> None:
        self._files: dict[str, bytearray] = {}
        self._rows: dict[bytes, Row] = {}

    def sizes(self) -> dict[str, int]:
        """Return name and size of each file."""
        return {name: len(content) for name, content in self._files.items()}

    def append(self, name: str) -> _MemoryAppender:
        """Open a file to append to it."""
        content = self._files.pop(name, bytearray())
        self._files[name] = content  # changed last
        return _MemoryAppender(content)

    def rename(self, old: str, new: str) -> None:
        """Rename a file."""
        self._files[new] = self._files.pop(old)

    def remove(self, name: str) -> None:
        """Remove a file, if there is one."""
        self._files.pop(name, None)

    @contextmanager
    def view(self, name: str) -> Generator[memoryview]:
        """Give what the file holds now."""
        yield memoryview(bytes(self._files[name]))

    def rows(self) -> list[Row]:
        """Return every state."""
        return list(self._rows.values())

    def save(self, row: Row) -> None:
        """Add or replace a state."""
        self._rows[row.entry.sha256] = row

    def forget(self, sha256: bytes) -> None:
        """Remove a state."""
        self._rows.pop(sha256, None)


class _Inline:
    """Runs calls at once: nothing here blocks."""

    async def run(self, call: Callable[[], T]) -> T:
        await trio.lowlevel.checkpoint()
        return call()


def memory_log_store(limits: SpoolLimits, shelf: MemoryShelf | None = None) -> LogSpool:
    """Return a LogStore in memory; one over the ``shelf`` of another finds what that one left."""
    return LogSpool(Spool(shelf or MemoryShelf(), limits), _Inline)
