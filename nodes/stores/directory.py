"""A folder that only its owner can read, with files that are replaced whole or not at all.

Every access goes through the folder's own descriptor, opened and checked once: whoever swaps a path component
afterwards is not followed. A file is written beside its place (O_EXCL, mode 0600), flushed, renamed into
place, and the rename is flushed: after a crash there is the old content or the new, never a part of it. If
only the last step fails, the error is reported although the new content is visible; it may be gone after a
power cut.
"""

import contextlib
import errno
import os
import secrets
import shlex
import stat
import threading
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from protocols.errors import ConfigError, StorageError, UnsupportedError, UsageError

MAX_FILE_BYTES: Final = 4_194_304
"""A larger file is none of ours; larger content is refused before it is written."""
LOCK_NAME: Final = "lock"
_POSIX: Final = os.name == "posix"
_TEMPORARY: Final = ".tmp"
OPEN_FLAGS: Final = sum(getattr(os, flag, 0) for flag in ("O_CLOEXEC", "O_NOFOLLOW", "O_NONBLOCK"))  # all POSIX
_REMEDIES: Final = {
    errno.ENOSPC: "; free some space and try again",
    errno.EDQUOT: "; free some space and try again",
    errno.EROFS: "; mount the disk writable",
    errno.EACCES: "; run as the owner of the folder",
    errno.EPERM: "; run as the owner of the folder",
}


class PrivateDirectory:
    """An open folder. One process at a time may write to it; any number may read (``read_only``)."""

    def __init__(self, path: Path, fd: int, lock_fd: int | None) -> None:
        self.path = path
        self._fd = fd
        self._lock_fd = lock_fd
        self._open = True
        self._busy = threading.Lock()  # nothing reads or writes through a descriptor while it is closed

    @classmethod
    def open(cls, path: Path, *, create: bool = False, read_only: bool = False) -> Self:
        """Open a folder, and lock it unless ``read_only``; ConfigError, StorageError."""
        if not _POSIX:
            raise UnsupportedError("a state folder needs a POSIX system; embed a store of your own instead")
        with contextlib.ExitStack() as undo:
            fd = _open_folder(path, create=create)
            undo.callback(os.close, fd)
            lock_fd = None if read_only else _lock(path, fd)
            undo.pop_all()
        directory = cls(path, fd, lock_fd)
        if not read_only:
            directory._remove_leftovers()
        return directory

    @property
    def read_only(self) -> bool:
        return self._lock_fd is None

    def close(self) -> None:
        """Give the lock back. Nothing can be read or written afterwards; closing twice does nothing."""
        with self._busy:
            if self._open:
                self._open = False
                os.close(self._fd)
                if self._lock_fd is not None:
                    os.close(self._lock_fd)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def read(self, name: str) -> bytes | None:
        """Return the content of a file, None if there is none; ConfigError if others could read it."""
        with self._busy:
            fd = self._open_private(name)
            if fd is None:
                return None
            try:
                return _content(self.path / name, fd)
            finally:
                os.close(fd)

    def locate(self, name: str) -> Path | None:
        """Return where a file is, for a library that opens files by itself; None, ConfigError as for :meth:`read`."""
        with self._busy:
            fd = self._open_private(name)
            if fd is None:
                return None
            os.close(fd)
        return self.path / name

    def _open_private(self, name: str) -> int | None:
        self._check_open()
        path = self.path / name
        try:
            fd = os.open(name, os.O_RDONLY | OPEN_FLAGS, dir_fd=self._fd)
        except FileNotFoundError:
            return None
        except OSError as error:
            if error.errno == errno.ELOOP:
                raise ConfigError(f"{path} is a symbolic link: put the file itself there") from None
            raise failed(path, "read", error) from None
        try:
            _check_private(path, os.fstat(fd))
        except BaseException:
            os.close(fd)
            raise
        return fd

    def write(self, name: str, content: bytes) -> None:
        """Replace a file, durably; StorageError, and then the old content is still there."""
        path = self.path / name
        if len(content) > MAX_FILE_BYTES:
            raise StorageError(f"{path} would exceed {MAX_FILE_BYTES} bytes: remove devices that are not used")
        with self._busy:
            self._check_open()
            if self.read_only:
                raise UsageError(f"{self.path} was opened for reading only")
            try:
                self._replace(name, content)
            except OSError as error:
                raise failed(path, "written", error) from None

    def _replace(self, name: str, content: bytes) -> None:
        temporary = f".{name}.{secrets.token_hex(8)}{_TEMPORARY}"
        try:
            fd = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | OPEN_FLAGS, 0o600, dir_fd=self._fd)
            try:
                os.fchmod(fd, 0o600)  # whatever the umask took away
                write_all(fd, content)
                os.fsync(fd)
            finally:
                os.close(fd)
            os.replace(temporary, name, src_dir_fd=self._fd, dst_dir_fd=self._fd)
        except BaseException:
            with contextlib.suppress(OSError):
                os.unlink(temporary, dir_fd=self._fd)
            raise
        os.fsync(self._fd)

    def _remove_leftovers(self) -> None:
        """Remove what a crash left half-written, secrets maybe. We hold the lock: nobody is writing."""
        with contextlib.suppress(OSError):
            for name in os.listdir(self._fd):  # noqa: PTH208 - a descriptor, not a path
                if name.startswith(".") and name.endswith(_TEMPORARY):
                    os.unlink(name, dir_fd=self._fd)

    def _check_open(self) -> None:
        if not self._open:
            raise UsageError(f"{self.path} was closed")


def _open_folder(path: Path, *, create: bool) -> int:
    try:
        if create:
            path.parent.mkdir(parents=True, exist_ok=True)
            _make_folder(path)
        fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except FileNotFoundError:
        raise ConfigError(
            f"there is no state folder {path}: `aerolink keys generate --state-dir {shlex.quote(str(path))}` makes it"
        ) from None
    except NotADirectoryError:
        raise ConfigError(f"{path} is no folder: name another state folder") from None
    except ValueError:
        raise ConfigError("the name of the state folder is no file name") from None
    except OSError as error:
        raise failed(path, "opened", error) from None
    try:
        _check_owner(path, info := os.fstat(fd))
        if info.st_mode & 0o077:
            raise ConfigError(f"{path} is open to other users: chmod 700 {shlex.quote(str(path))}")
    except BaseException:
        os.close(fd)
        raise
    return fd


def _make_folder(path: Path) -> None:
    try:
        path.mkdir(mode=0o700)
    except FileExistsError:
        return
    parent = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(parent)  # or a power cut could take the folder with the keys in it
    finally:
        os.close(parent)


def _lock(path: Path, fd: int) -> int:
    import fcntl  # POSIX only, as this whole file

    try:
        lock_fd = os.open(LOCK_NAME, os.O_RDWR | os.O_CREAT | OPEN_FLAGS, 0o600, dir_fd=fd)
    except OSError as error:
        raise failed(path / LOCK_NAME, "opened", error) from None
    try:
        fcntl.flock(lock_fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(lock_fd)
        raise ConfigError(f"{path} is in use by another process: stop that node first") from None
    except OSError as error:
        os.close(lock_fd)
        raise failed(path / LOCK_NAME, "locked", error) from None
    return lock_fd


def _check_private(path: Path, info: os.stat_result) -> None:
    if not stat.S_ISREG(info.st_mode):
        raise ConfigError(f"{path} is no regular file: put the file itself there")
    _check_owner(path, info)
    if info.st_mode & 0o077:
        raise ConfigError(f"{path} is open to other users: chmod 600 {shlex.quote(str(path))}")


def _check_owner(path: Path, info: os.stat_result) -> None:
    if info.st_uid != os.geteuid():
        raise ConfigError(f"{path} belongs to user {info.st_uid}: run as that user, or chown it")


def _content(path: Path, fd: int) -> bytes:
    content = b""
    try:
        while part := os.read(fd, MAX_FILE_BYTES):
            content += part
            if len(content) > MAX_FILE_BYTES:
                raise StorageError(f"{path} has more than {MAX_FILE_BYTES} bytes: it is no file of this node")
    except OSError as error:
        raise failed(path, "read", error) from None
    return content


def write_all(fd: int, content: bytes) -> None:
    """Write all of it to a descriptor; OSError."""
    rest = memoryview(content)
    while rest:
        rest = rest[os.write(fd, rest) :]


def failed(path: Path, what: str, error: OSError) -> StorageError:
    """Return the error of a file operation, in one line that says what to do."""
    reason = os.strerror(error.errno) if error.errno else "unknown reason"
    return StorageError(f"{path} cannot be {what}: {reason}{_REMEDIES.get(error.errno or 0, '')}")
