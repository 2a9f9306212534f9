"""Where the control socket is, and how it gets there (CS-1 to CS-4)."""

import contextlib
import fcntl
import os
import secrets
import socket
import stat
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from nodes.stores.directory import OPEN_FLAGS
from protocols.errors import ConfigError, StorageError

SOCKET_NAME: Final = "control.sock"
LOCK_NAME: Final = "control.lock"
_BACKLOG: Final = 64
_LONGEST: Final = 107
"""Bytes of a path in ``sockaddr_un``, without the zero at its end (unix(7))."""
_FDS: Final = Path("/proc/self/fd")


class ControlPlace:
    """The socket in a state folder, ours while this is open. Everything here is quick, and none of it is async."""

    def __init__(self, folder: Path) -> None:
        """Open and listen; ConfigError, StorageError in one line. The folder must be there, and its owner's alone."""
        self._undo = contextlib.ExitStack()
        with contextlib.ExitStack() as undo:
            try:
                self._fd = open_folder(folder)
                undo.callback(os.close, self._fd)
                undo.callback(os.close, _lock(self._fd, folder))
                self.socket: Final = undo.enter_context(socket.socket(socket.AF_UNIX, socket.SOCK_STREAM))
                self._listen(folder)
            except OSError as error:
                raise StorageError(f"no control socket in {folder}: {_why(error)}") from None
            self._undo = undo.pop_all()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Remove the socket: it is still ours, since we hold its lock."""
        with self._undo, contextlib.suppress(OSError):
            os.unlink(SOCKET_NAME, dir_fd=self._fd)

    def _listen(self, folder: Path) -> None:
        """Bind and listen under another name, and take the place of whatever a dead node has left.

        On Linux the mode of the socket's inode is that of the descriptor, less the umask; so nobody but us could have
        opened it even for a moment. The name ends as those do that the folder's next owner sweeps away.
        """
        temporary = f".{SOCKET_NAME}.{secrets.token_hex(4)}.tmp"
        os.fchmod(self.socket.fileno(), 0o600)
        self.socket.bind(path_through(self._fd, folder, temporary))
        try:
            os.chmod(temporary, 0o600, dir_fd=self._fd)  # whatever the umask took away
            self.socket.listen(_BACKLOG)
            os.rename(temporary, SOCKET_NAME, src_dir_fd=self._fd, dst_dir_fd=self._fd)
        except BaseException:
            os.unlink(temporary, dir_fd=self._fd)
            raise


def open_folder(folder: Path) -> int:
    """Return a descriptor of the folder; OSError."""
    return os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)


def path_through(fd: int, folder: Path, name: str) -> str:
    """Return a path to a file in an open folder that fits into an address; ConfigError where there is none."""
    short = _FDS / str(fd)
    path = os.fspath((short if short.exists() else folder) / name)
    if len(os.fsencode(path)) > _LONGEST:
        raise ConfigError(f"no control socket in {folder}: its path would have more than {_LONGEST} bytes")
    return path


def _lock(fd: int, folder: Path) -> int:
    info = os.fstat(fd)
    if info.st_uid != os.geteuid() or stat.S_IMODE(info.st_mode) & 0o077:
        raise ConfigError(f"no control socket in {folder}: the folder is not its owner's alone")
    lock = os.open(LOCK_NAME, os.O_RDWR | os.O_CREAT | OPEN_FLAGS, 0o600, dir_fd=fd)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(lock)
        raise ConfigError(f"no control socket in {folder}: another process has it") from None
    except BaseException:
        os.close(lock)
        raise
    return lock


def _why(error: OSError) -> str:
    return os.strerror(error.errno) if error.errno else "unknown reason"
