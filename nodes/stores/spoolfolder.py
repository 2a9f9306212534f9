"""A folder of sealed logs (port ``Shelf``)::

    <folder>/               mode 0700, ours
        lock                held by the one process that may write
        <sha256>.log        a whole log
        <sha256>.json       its state
        <sha256>.<size>.part  what came of an announced log
        .<random>.new.tmp   a log in the making; removed at the next start

A file gets its name ``.log`` after its bytes are on the disk, and its state after that: whatever a crash leaves is a
log without a state, which is taken up, or a part, which goes on.
"""

import contextlib
import mmap
import os
import re
from collections.abc import Generator
from typing import Any, Final

from nodes.ports import LogEntry, LogState
from nodes.stores.directory import OPEN_FLAGS, PrivateDirectory, failed, write_all
from nodes.stores.document import Document, hex_bytes, text_of, whole
from nodes.stores.spoolrules import SHA256_BYTES, Row
from protocols.errors import UsageError
from specs.registry import KEY_ID_BYTES
from specs.sealed_log import FLIGHT_ID_BYTES

_LARGE: Final = re.compile(r"[0-9a-f]{64}(\.log|\.[1-9][0-9]{0,15}\.part)")
_STATE: Final = re.compile(r"[0-9a-f]{64}\.json")


class _State(Document):
    """One state; all of them have one format."""

    __slots__ = ()

    @property
    def _format(self) -> str:
        return "aerolink sealed log state"


class _FileAppender:
    def __init__(self, folder: "SpoolFolder", name: str, fd: int) -> None:
        self._path = folder.path / name
        self._fd = fd

    def write(self, data: bytes) -> None:
        try:
            write_all(self._fd, data)
        except OSError as error:
            raise failed(self._path, "written", error) from None

    def close(self, *, durable: bool) -> None:
        fd, self._fd = self._fd, -1
        if fd < 0:
            return
        try:
            if durable:
                os.fsync(fd)
        except OSError as error:
            raise failed(self._path, "written", error) from None
        finally:
            os.close(fd)


class SpoolFolder(PrivateDirectory):
    """An open folder of logs. Small files are the base's business, large ones stand here."""

    def sizes(self) -> dict[str, int]:
        """Return name and size of each log and part, by the time of the last change."""
        found: list[tuple[int, str, int]] = []
        with self._guard("read"):
            for name in os.listdir(self._fd):  # noqa: PTH208 - a descriptor, not a path
                if _LARGE.fullmatch(name):
                    info = os.stat(name, dir_fd=self._fd, follow_symlinks=False)
                    found.append((info.st_mtime_ns, name, info.st_size))
        return {name: size for _, name, size in sorted(found)}

    def append(self, name: str) -> _FileAppender:
        """Open a file to append to it."""
        with self._guard("written", name):
            flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | OPEN_FLAGS
            return _FileAppender(self, name, os.open(name, flags, 0o600, dir_fd=self._fd))

    def rename(self, old: str, new: str) -> None:
        """Rename, durably."""
        with self._guard("written", new):
            os.replace(old, new, src_dir_fd=self._fd, dst_dir_fd=self._fd)
            os.fsync(self._fd)

    def remove(self, name: str) -> None:
        """Remove a file, if there is one."""
        with self._guard("removed", name), contextlib.suppress(FileNotFoundError):
            os.unlink(name, dir_fd=self._fd)

    @contextlib.contextmanager
    def view(self, name: str) -> Generator[memoryview]:
        """Map a file; what still holds a slice of the view afterwards keeps the mapping alive."""
        with self._guard("read", name):
            fd = os.open(name, os.O_RDONLY | OPEN_FLAGS, dir_fd=self._fd)
            try:
                size = os.fstat(fd).st_size
                mapped = mmap.mmap(fd, size, prot=mmap.PROT_READ) if size else None
            finally:
                os.close(fd)
        yield memoryview(mapped) if mapped is not None else memoryview(b"")

    def rows(self) -> list[Row]:
        """Return every state; StorageError if one is damaged."""
        with self._guard("read"):
            names = [name for name in os.listdir(self._fd) if _STATE.fullmatch(name)]  # noqa: PTH208
        rows = [self._document(bytes.fromhex(name.removesuffix(".json"))).read(_decode) for name in names]
        return [row for row in rows if row is not None]

    def save(self, row: Row) -> None:
        """Add or replace a state, durably."""
        entry = row.entry
        self._document(entry.sha256).write(
            {
                "sha256": entry.sha256.hex(),
                "size_bytes": entry.size_bytes,
                "drone_id": entry.drone_id.hex(),
                "cloud_key_id": entry.cloud_key_id.hex(),
                "flight_id": entry.flight_id.hex(),
                "state": entry.state.value,
                "stored": entry.stored,
                "order": row.order,
            }
        )

    def forget(self, sha256: bytes) -> None:
        """Remove a state."""
        self.remove(f"{sha256.hex()}.json")

    def _document(self, sha256: bytes) -> _State:
        return _State(self, f"{sha256.hex()}.json", "remove it: the log beside it is taken up again")

    @contextlib.contextmanager
    def _guard(self, what: str, name: str = "") -> Generator[None]:
        with self._busy:
            self._check_open()
            if what != "read" and self.read_only:
                raise UsageError(f"{self.path} was opened for reading only")
            try:
                yield
            except OSError as error:
                raise failed(self.path / name, what, error) from None


def _decode(content: dict[str, Any]) -> Row:
    return _row(**content)


def _row(*, order: object, size_bytes: object, state: object, stored: object, **ids: object) -> Row:
    lengths = {
        "sha256": SHA256_BYTES,
        "drone_id": KEY_ID_BYTES,
        "cloud_key_id": KEY_ID_BYTES,
        "flight_id": FLIGHT_ID_BYTES,
    }
    found = {name: hex_bytes(value) for name, value in ids.items()}
    if {name: len(value) for name, value in found.items()} != lengths or not isinstance(stored, bool):
        raise ValueError
    entry = LogEntry(**found, size_bytes=whole(size_bytes), state=LogState(text_of(state)), stored=stored)
    return Row(entry, whole(order))
