"""What every store of sealed logs must hold, whether in memory or on disk (specs/8-sealed-logs.md, 8.5)."""

from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from typing import Final, Protocol

from nodes.ports import LogEntry, LogState
from protocols.errors import PeerError, StorageError, UsageError
from protocols.sealing import read_ends_untrusted

SHA256_BYTES: Final = 32
_MOVES: Final = {
    LogState.RECEIVED: {LogState.RECEIVED, LogState.HANDED_OVER, LogState.ACKNOWLEDGED},
    LogState.HANDED_OVER: {LogState.RECEIVED, LogState.HANDED_OVER, LogState.ACKNOWLEDGED},
    LogState.ACKNOWLEDGED: {LogState.ACKNOWLEDGED},
}
"""From a state to others. A log that was handed over is offered again when the next hop lost it."""


class StoreFullError(StorageError):
    """A store has no room for a log, and nothing to give up for it."""

    advice = "Raise `[logs] quota_mib`, make room, or bring the next node into reach, so that logs leave."


class DamagedLogError(PeerError):
    """A log that came is not the one that was announced."""

    advice = "Nothing: it is fetched again from whoever has it. If it stays so, the disk there is failing."


@dataclass(frozen=True, slots=True)
class SpoolLimits:
    """How much a store may hold."""

    quota_bytes: int
    """Content in all: whole logs, announced sizes of partial ones, logs in the making."""
    keep_handed_over: bool = False
    """True for a drone: only the cloud's acknowledgement frees room."""
    max_partials: int = 8
    """Logs that came in part."""
    max_remembered: int = 1_000
    """Logs whose content has gone, remembered so that they are not asked for again."""


@dataclass(frozen=True, slots=True)
class Row:
    """A log, and its place in the order in which they came."""

    entry: LogEntry
    """The log."""
    order: int
    """Larger is later."""


class Appender(Protocol):
    """A large file that is being written."""

    def write(self, data: bytes) -> None:
        """Append; StorageError."""
        ...

    def close(self, *, durable: bool) -> None:
        """Close; first flush to the disk if ``durable``. StorageError."""
        ...


class Shelf(Protocol):
    """Where large files and states are: a folder, or memory. Every call may block."""

    def sizes(self) -> dict[str, int]:
        """Return name and size of each large file, the oldest first."""
        ...

    def append(self, name: str) -> Appender:
        """Open a file to append to it, made if there is none."""
        ...

    def rename(self, old: str, new: str) -> None:
        """Rename a file that was closed durably, durably."""
        ...

    def remove(self, name: str) -> None:
        """Remove a file, if there is one."""
        ...

    def view(self, name: str) -> AbstractContextManager[memoryview]:
        """Map a file that does not change, or only grows."""
        ...

    def rows(self) -> list[Row]:
        """Return every state."""
        ...

    def save(self, row: Row) -> None:
        """Add or replace a state, durably."""
        ...

    def forget(self, sha256: bytes) -> None:
        """Remove a state."""
        ...


def inspect_untrusted(view: memoryview, sha256: bytes) -> LogEntry:
    """Return the entry of a log that has just come; MalformedError, TruncatedError (SL-43)."""
    ends = read_ends_untrusted(lambda offset, length: bytes(view[offset : offset + length]), len(view))
    info = ends.info
    return LogEntry(sha256, len(view), info.drone_id, info.cloud_key_id, info.flight_id, LogState.RECEIVED, stored=True)


def moved(entry: LogEntry, state: LogState) -> LogEntry:
    """Return an entry in another state; UsageError if there is no way to it."""
    if state not in _MOVES[entry.state]:
        raise UsageError(f"this log was {entry.state.value} and cannot become {state.value}")
    if state is LogState.RECEIVED and not entry.stored:
        raise UsageError("the content of this log is gone: it cannot be offered again")
    return replace(entry, state=state, stored=entry.stored and state is not LogState.ACKNOWLEDGED)


def check_announced(sha256: bytes, size_bytes: int) -> None:
    """Refuse what no log has: UsageError."""
    if len(sha256) != SHA256_BYTES or size_bytes < 1:
        raise UsageError("a log is announced by its SHA-256 and its size")
