"""Port CloudBlobs: files in a folder of their own, and a version in memory.

A file grows in place and is synchronised before ``append`` returns; what a crash left behind the recorded offset is
written over. A file that is made whole is written beside its place and renamed.
"""

import contextlib
import errno
import os
import re
import secrets
from collections.abc import Generator, Sequence
from functools import partial
from pathlib import Path
from typing import Final, Self

import trio

from nodes.cloud.ports import Read, Write
from nodes.stores.sqlitefile import StorageFullError, sync_folder
from protocols.errors import ConfigError, StorageError, UsageError

_NAME: Final = re.compile(r"[0-9a-f][0-9a-f-]{0,127}", re.ASCII)
_TEMPORARY: Final = ".tmp"
_FULL: Final = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})
_THREADS: Final = 4
_NEW: Final = os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW


def _checked(name: str) -> str:
    if not _NAME.fullmatch(name):
        raise UsageError("the name of a blob is made of hexadecimal digits and hyphens")
    return name


class FileBlobs:
    """One file per blob."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._threads = trio.CapacityLimiter(_THREADS)

    @classmethod
    async def open(cls, folder: Path) -> Self:
        """Open or make the folder (mode 0700); ConfigError, StorageError."""
        blobs = cls(folder)
        await trio.to_thread.run_sync(blobs._prepare)
        return blobs

    async def append(self, name: str, offset: int, data: bytes) -> None:
        """Make ``data`` the bytes from ``offset`` on."""
        await trio.to_thread.run_sync(partial(self._append, _checked(name), offset, data), limiter=self._threads)

    async def remove(self, name: str) -> None:
        """Remove a blob."""
        await trio.to_thread.run_sync(partial(self._remove, _checked(name)), limiter=self._threads)

    async def names(self) -> Sequence[str]:
        """Return the name of every blob."""
        return await trio.to_thread.run_sync(self._names, limiter=self._threads)

    @contextlib.contextmanager
    def reader(self, name: str) -> Generator[Read]:
        """Open a blob for reading."""
        path = self._folder / _checked(name)
        with self._errors("read"):
            fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)

        def read(offset: int, length: int) -> bytes:
            with self._errors("read"):
                return os.pread(fd, length, offset)

        try:
            yield read
        finally:
            os.close(fd)

    @contextlib.contextmanager
    def writer(self, name: str) -> Generator[Write]:
        """Make a blob whole."""
        path = self._folder / _checked(name)
        temporary = self._folder / f".{name}.{secrets.token_hex(8)}{_TEMPORARY}"
        with self._errors("written"):
            fd = os.open(temporary, os.O_WRONLY | os.O_EXCL | _NEW, 0o600)
        try:
            try:
                yield partial(self._write, fd)
                with self._errors("written"):
                    os.fsync(fd)
            finally:
                os.close(fd)
            with self._errors("written"):
                temporary.replace(path)
                sync_folder(self._folder)
        except BaseException:
            with contextlib.suppress(OSError):
                temporary.unlink()
            raise

    def _prepare(self) -> None:
        with self._errors("opened"):
            self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            sync_folder(self._folder.parent)
            info = self._folder.stat()
            if info.st_mode & 0o077 or info.st_uid != os.geteuid():
                raise ConfigError(f"{self._folder} is open to other users: chmod 700 it, as its owner")
            for path in self._folder.iterdir():
                if path.name.endswith(_TEMPORARY):
                    path.unlink()

    def _append(self, name: str, offset: int, data: bytes) -> None:
        path = self._folder / name
        with self._errors("written"):
            fd = os.open(path, os.O_WRONLY | _NEW, 0o600)
            try:
                _write_at(fd, offset, data)
                os.fsync(fd)
            finally:
                os.close(fd)
            if offset == 0:  # not if it is new: whoever made it may have died before this
                sync_folder(self._folder)

    def _write(self, fd: int, data: bytes) -> None:
        with self._errors("written"):
            rest = memoryview(data)
            while rest:
                rest = rest[os.write(fd, rest) :]

    def _remove(self, name: str) -> None:
        with self._errors("removed"):
            (self._folder / name).unlink(missing_ok=True)

    def _names(self) -> Sequence[str]:
        with self._errors("read"):
            return tuple(sorted(path.name for path in self._folder.iterdir() if _NAME.fullmatch(path.name)))

    @contextlib.contextmanager
    def _errors(self, what: str) -> Generator[None]:
        try:
            yield
        except OSError as error:
            kind = StorageFullError if error.errno in _FULL else StorageError
            raise kind(f"a file in {self._folder} cannot be {what}: {os.strerror(error.errno or 0)}") from None


def _write_at(fd: int, offset: int, data: bytes) -> None:
    rest = memoryview(data)
    while rest:
        written = os.pwrite(fd, rest, offset)
        rest, offset = rest[written:], offset + written


class MemoryBlobs:
    """Byte strings in a dictionary, with room for so many bytes in all."""

    def __init__(self, max_bytes: int | None = None) -> None:
        self._blobs: dict[str, bytes] = {}
        self.max_bytes = max_bytes
        """None: no bound."""

    async def append(self, name: str, offset: int, data: bytes) -> None:
        """Make ``data`` the bytes from ``offset`` on."""
        await trio.lowlevel.checkpoint()
        before = self._blobs.get(_checked(name), b"")
        if offset > len(before):
            raise UsageError("a blob has no holes")
        self._put(name, before[:offset] + data + before[offset + len(data) :])

    async def remove(self, name: str) -> None:
        """Remove a blob."""
        await trio.lowlevel.checkpoint()
        self._blobs.pop(_checked(name), None)

    async def names(self) -> Sequence[str]:
        """Return the name of every blob."""
        await trio.lowlevel.checkpoint()
        return tuple(sorted(self._blobs))

    @contextlib.contextmanager
    def reader(self, name: str) -> Generator[Read]:
        """Open a blob for reading."""
        if _checked(name) not in self._blobs:
            raise StorageError("there is no such blob")
        data = self._blobs[name]

        def read(offset: int, length: int) -> bytes:
            return data[offset : offset + length]

        yield read

    @contextlib.contextmanager
    def writer(self, name: str) -> Generator[Write]:
        """Make a blob whole."""
        _checked(name)
        parts: list[bytes] = []
        yield parts.append
        self._put(name, b"".join(parts))

    def _put(self, name: str, data: bytes) -> None:
        others = sum(len(blob) for other, blob in self._blobs.items() if other != name)
        if self.max_bytes is not None and others + len(data) > self.max_bytes:
            raise StorageFullError("no room for a blob")
        self._blobs[name] = data
