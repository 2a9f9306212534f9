"""Sealed logs in store and forward, for callers that may block; ``nodes/stores/logspool.py`` is for those that may not.

What a node promises about its logs (SL-41 to SL-45) is decided here, over a shelf: a folder or memory. A shelf has one
spool at a time, which knows all that is on it.
"""

import hashlib
import secrets
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import replace
from functools import partial
from typing import Final

from nodes.ports import LogEntry, LogState
from nodes.stores.spoolrules import (
    Appender,
    DamagedLogError,
    Row,
    Shelf,
    SpoolLimits,
    StoreFullError,
    check_announced,
    inspect_untrusted,
    moved,
)
from protocols.errors import PeerError, StorageError, UsageError

_HASH_BYTES: Final = 1_048_576


class SpoolWriter:
    """A log on its way into the spool."""

    def __init__(self, name: str, appender: Appender, sha256: bytes | None, size_bytes: int, prefix_bytes: int) -> None:
        self.name: Final = name
        self.sha256: Final = sha256
        """As announced; None for a log in the making."""
        self.reserved_bytes = size_bytes
        """Room that it has in the quota."""
        self.prefix_bytes: Final = prefix_bytes
        """What was here when it was opened."""
        self.written_bytes = prefix_bytes
        self.is_broken = False
        """Whether a write failed: then nobody knows what of it is in the file."""
        self._appender = appender
        self._hash = hashlib.sha256()

    def resume(self, view: memoryview) -> None:
        """Hash what was here."""
        for at in range(0, self.prefix_bytes, _HASH_BYTES):
            self._hash.update(view[at : min(at + _HASH_BYTES, self.prefix_bytes)])

    def write(self, data: bytes) -> None:
        """Append; the caller has seen to the room. StorageError."""
        if self.is_broken:
            raise UsageError("an earlier write of this log failed: open it anew")
        self.is_broken = True
        self._appender.write(data)
        self.is_broken = False
        self._hash.update(data)
        self.written_bytes += len(data)

    def close(self, *, durable: bool) -> None:
        """Close the file."""
        self._appender.close(durable=durable)

    def digest(self) -> bytes:
        """Return SHA-256 over all that is here."""
        return self._hash.digest()

    @property
    def is_wrong(self) -> bool:
        """Whether all bytes of an announced log are here, and are not that log: nothing can mend it."""
        return self.sha256 not in {None, self.digest()} and self.written_bytes >= self.reserved_bytes


class Spool:
    """The logs on a shelf."""

    def __init__(self, shelf: Shelf, limits: SpoolLimits) -> None:
        """Take up what is there; StorageError if it is damaged."""
        self._shelf = shelf
        self._limits = limits
        self._rows: dict[bytes, Row] = {}
        self._parts: dict[bytes, tuple[str, int]] = {}  # name, announced size; the oldest first
        self._writers: dict[str, SpoolWriter] = {}
        self._order = 0
        self._recover()

    # --- looking --------------------------------------------------------------------------------

    def all(self) -> list[LogEntry]:
        """Return every log, the oldest first."""
        return [row.entry for row in sorted(self._rows.values(), key=lambda row: row.order)]

    def find(self, sha256: bytes) -> LogEntry | None:
        """Return what is known of a log."""
        row = self._rows.get(sha256)
        return row.entry if row else None

    def content(self, sha256: bytes) -> AbstractContextManager[memoryview]:
        """Give the bytes of a log; UsageError if they are not here."""
        if not self._known(sha256).entry.stored:
            raise UsageError("the content of this log is gone from here")
        return self._shelf.view(_log_name(sha256))

    def view_of(self, writer: SpoolWriter) -> AbstractContextManager[memoryview]:
        """Give what is here of a log that is being written."""
        return self._shelf.view(writer.name)

    @property
    def used_bytes(self) -> int:
        """Room that is taken or promised."""
        stored = sum(row.entry.size_bytes for row in self._rows.values() if row.entry.stored)
        made = sum(writer.reserved_bytes for writer in self._writers.values() if writer.sha256 is None)
        return stored + made + sum(size for _, size in self._parts.values())

    # --- writing --------------------------------------------------------------------------------

    def create(self) -> SpoolWriter:
        """Begin a log in the making."""
        name = f".{secrets.token_hex(8)}.new.tmp"
        return self._opened(SpoolWriter(name, self._shelf.append(name), None, 0, 0))

    def receive(self, sha256: bytes, size_bytes: int) -> SpoolWriter:
        """Begin an announced log, or go on with it; StoreFullError, UsageError if it is here or on its way."""
        check_announced(sha256, size_bytes)
        entry = self.find(sha256)
        if entry and (entry.stored or entry.state is LogState.ACKNOWLEDGED):
            raise UsageError(f"this log is here already: {entry.state.value}")
        name = f"{sha256.hex()}.{size_bytes}.part"
        if any(writer.sha256 == sha256 for writer in self._writers.values()):
            raise UsageError("this log is on its way already")
        before, announced = self._parts.get(sha256, ("", 0))
        if before != name:
            self._drop_part(sha256)
            announced = 0
        self._make_room(size_bytes - announced, sha256)
        sizes = self._shelf.sizes()
        writer = SpoolWriter(name, self._shelf.append(name), sha256, size_bytes, sizes.get(name, 0))
        self._parts.pop(sha256, None)
        self._parts[sha256] = (name, size_bytes)
        return self._opened(writer)

    def reserve(self, writer: SpoolWriter, size_bytes: int) -> None:
        """See to room for so many bytes more; StoreFullError, UsageError beyond the announced size."""
        missing = writer.written_bytes + size_bytes - writer.reserved_bytes
        if missing <= 0:
            return
        if writer.sha256 is not None:
            raise UsageError(f"the log has more than the {writer.reserved_bytes} bytes that were announced")
        self._make_room(missing, None)
        writer.reserved_bytes += missing

    def finish(self, writer: SpoolWriter) -> LogEntry:
        """Return when the whole log is durable; DamagedLogError, MalformedError, and then nothing of it stays.

        UsageError if bytes are missing, or could not be written.
        """
        if writer.is_broken:
            raise UsageError("an earlier write of this log failed: open it anew")
        if writer.sha256 is not None and writer.written_bytes < writer.reserved_bytes:
            raise UsageError(f"{writer.reserved_bytes - writer.written_bytes} bytes of the log are missing")
        try:
            if writer.is_wrong:
                raise DamagedLogError("the log is not the announced one: its SHA-256 differs")
            with self._shelf.view(writer.name) as view:
                entry = inspect_untrusted(view, writer.digest())
            writer.close(durable=True)
            old = self.find(entry.sha256)
            if old is None or not old.stored:
                self._shelf.rename(writer.name, _log_name(entry.sha256))
                entry = self._add(entry)
            else:  # made twice, byte for byte
                self._shelf.remove(writer.name)
                entry = old
        except PeerError:
            self.abandon(writer, keep=False)
            raise
        self._forget_writer(writer)
        self._drop_part(entry.sha256)
        return entry

    def abandon(self, writer: SpoolWriter, *, keep: bool) -> None:
        """Close what did not finish; an announced log stays as a part if ``keep``."""
        if self._writers.get(writer.name) is not writer:
            return
        self._forget_writer(writer)
        keep = keep and writer.sha256 is not None and not writer.is_wrong
        writer.close(durable=keep)
        if not keep:
            self._shelf.remove(writer.name)
            self._parts.pop(writer.sha256 or b"", None)

    # --- states ---------------------------------------------------------------------------------

    def mark(self, sha256: bytes, state: LogState) -> LogEntry:
        """Change the state, durably; the content of an acknowledged log goes (SL-45)."""
        row = self._known(sha256)
        entry = moved(row.entry, state)
        if entry != row.entry:
            self._update(replace(row, entry=entry))
        return entry

    def _known(self, sha256: bytes) -> Row:
        row = self._rows.get(sha256)
        if row is None:
            raise UsageError("this log is not known here")
        return row

    def _add(self, entry: LogEntry) -> LogEntry:
        self._order += 1
        row = Row(entry, self._order)
        self._shelf.save(row)
        self._rows[entry.sha256] = row
        return entry

    def _update(self, row: Row) -> None:
        """The state first: a crash between leaves content too much, which the next start removes."""
        self._shelf.save(row)
        self._rows[row.entry.sha256] = row
        if not row.entry.stored:
            self._shelf.remove(_log_name(row.entry.sha256))
            self._remember_fewer()

    def _remember_fewer(self) -> None:
        gone = sorted((row for row in self._rows.values() if not row.entry.stored), key=lambda row: row.order)
        for row in gone[: -self._limits.max_remembered]:
            self._shelf.forget(row.entry.sha256)
            del self._rows[row.entry.sha256]

    # --- room -----------------------------------------------------------------------------------

    def _make_room(self, size_bytes: int, for_sha256: bytes | None) -> None:
        """Give up what may be given up, in the order of SL-44; StoreFullError, and then nothing was."""
        missing = self.used_bytes + size_bytes - self._limits.quota_bytes
        victims: list[Callable[[], None]] = []
        idle = [each for each in self._idle_parts() if each != for_sha256]
        surplus = len(self._parts) - (for_sha256 in self._parts) + (for_sha256 is not None) - self._limits.max_partials
        for sha256 in idle:
            if missing > 0 or surplus > 0:
                victims.append(partial(self._drop_part, sha256))
                missing -= self._parts[sha256][1]
                surplus -= 1
        for row in self._handed_over():
            if missing > 0:
                victims.append(partial(self._update, replace(row, entry=replace(row.entry, stored=False))))
                missing -= row.entry.size_bytes
        if missing > 0:
            raise StoreFullError(f"no room for a log: {missing} bytes are missing in {self._limits.quota_bytes}")
        if surplus > 0:
            raise StoreFullError(f"{len(self._parts)} logs are on their way already: one more must wait")
        for give_up in victims:
            give_up()

    def _idle_parts(self) -> Iterator[bytes]:
        busy = {writer.sha256 for writer in self._writers.values()}
        return (sha256 for sha256 in self._parts if sha256 not in busy)

    def _handed_over(self) -> list[Row]:
        if self._limits.keep_handed_over:
            return []
        rows = (row for row in self._rows.values() if row.entry.stored and row.entry.state is LogState.HANDED_OVER)
        return sorted(rows, key=lambda row: row.order)

    def _drop_part(self, sha256: bytes) -> None:
        part = self._parts.pop(sha256, None)
        if part is not None:
            self._shelf.remove(part[0])

    # --- starting -------------------------------------------------------------------------------

    def _recover(self) -> None:
        sizes = self._shelf.sizes()
        for row in self._shelf.rows():
            self._recover_row(row, sizes.pop(_log_name(row.entry.sha256), None))
        self._order = max((row.order for row in self._rows.values()), default=0)
        for name, size in sizes.items():
            sha256 = bytes.fromhex(name[:64])
            if name.endswith(".log"):
                self._adopt(name, sha256)
            else:
                self._recover_part(name, sha256, size)

    def _recover_row(self, row: Row, size: int | None) -> None:
        sha256 = row.entry.sha256
        if not row.entry.stored:
            if size is not None:
                self._shelf.remove(_log_name(sha256))
        elif size is None:  # somebody removed it
            self._shelf.forget(sha256)
            return
        elif size != row.entry.size_bytes:
            raise StorageError(f"{_log_name(sha256)} is damaged: restore it from a backup, or remove it")
        self._rows[sha256] = row

    def _adopt(self, name: str, sha256: bytes) -> None:
        """A crash came between the name and the state; or the state was lost."""
        try:
            with self._shelf.view(name) as view:
                entry = inspect_untrusted(view, sha256)
        except PeerError:
            raise StorageError(f"{name} is damaged: restore it from a backup, or remove it") from None
        self._add(entry)

    def _recover_part(self, name: str, sha256: bytes, size: int) -> None:
        announced = int(name.split(".")[1])
        entry = self.find(sha256)
        if size > announced or (entry and entry.stored):
            self._shelf.remove(name)
            return
        self._drop_part(sha256)  # an older one, announced with another size
        self._parts[sha256] = (name, announced)

    # --- small things ---------------------------------------------------------------------------

    def _opened(self, writer: SpoolWriter) -> SpoolWriter:
        self._writers[writer.name] = writer
        return writer

    def _forget_writer(self, writer: SpoolWriter) -> None:
        self._writers.pop(writer.name, None)


def _log_name(sha256: bytes) -> str:
    return f"{sha256.hex()}.log"
