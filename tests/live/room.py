"""What a process takes of its machine, and what a test needs of it."""

import resource
from collections.abc import Generator
from contextlib import contextmanager, suppress
from pathlib import Path

from tests.conftest import require_or_skip


@contextmanager
def room_for_files(count: int) -> Generator[None]:
    """Allow so many open files meanwhile, to this process and to those that it starts."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != resource.RLIM_INFINITY and soft < count:
        if hard != resource.RLIM_INFINITY and hard < count:
            require_or_skip(f"{count} open files are needed, and {hard} is the most that is allowed here")
        resource.setrlimit(resource.RLIMIT_NOFILE, (count, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def open_sockets(process_id: int) -> int:
    """Count the sockets that a process has."""
    return _links(process_id, "socket:")


def open_files(process_id: int) -> int:
    """Count everything that a process has open."""
    return _links(process_id, "")


def _links(process_id: int, prefix: str) -> int:
    count = 0
    for each in _proc(process_id, "fd").iterdir():
        with suppress(OSError):  # closed while we look
            count += str(each.readlink()).startswith(prefix)
    return count


def peak_resident_bytes(process_id: int) -> int:
    """Return how much of a process was in memory at most."""
    lines = _proc(process_id, "status").read_text().splitlines()
    (found,) = [line.split()[1] for line in lines if line.startswith("VmHWM:")]
    return int(found) * 1_024


def _proc(process_id: int, name: str) -> Path:
    path = Path(f"/proc/{process_id}/{name}")
    if not path.exists():
        require_or_skip("there is no /proc here")
    return path
