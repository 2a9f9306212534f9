"""The other end of the control socket: how `aerolink status` and `aerolink monitor` look at a node (CS-12)."""

import errno
import json
import os
import socket
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, cast

import trio

from nodes.config.reader import one_line
from nodes.looking.place import SOCKET_NAME, open_folder, path_through
from nodes.looking.plain import VERSION, status_of_untrusted
from nodes.looking.status import NodeStatus
from protocols.errors import ConfigError, LinkTimeoutError, MalformedError

MAX_LINE_BYTES: Final = 4_194_304
"""Of a node with as many links as the book takes."""
_ANSWER_S: Final = 5.0
"""A node answers at once; a stopped one not at all."""
_LOOK_S: Final = 10.0
"""For a whole status: who sends a little now and then, or something else without end, holds nobody up (CS-13)."""
_CHUNK_BYTES: Final = 65_536
_SILENT: Final = "the node does not answer: is it stopped?"


class NotRunningError(Exception):
    """Nobody listens: the node is not running, or lets nobody look. No mistake: it is what was asked."""


@dataclass(frozen=True, slots=True)
class Seen:
    """A note of a node that is looked at."""

    kind: str
    """Name of its class."""
    fields: dict[str, Any]
    """What it holds."""
    text: str
    """For people; empty for what only counts."""


@dataclass(frozen=True, slots=True)
class Lost:
    """We did not read fast enough."""

    notes: int
    """That many notes."""


Sight = NodeStatus | Seen | Lost


class Look:
    """A connection to the control socket of a running node."""

    def __init__(self, stream: trio.SocketStream) -> None:
        self._stream = stream
        self._rest = bytearray()

    async def ask(self, request: str) -> None:
        """Send a request; LinkTimeoutError if the node has gone."""
        try:
            await self._stream.send_all(json.dumps({"version": VERSION, "request": request}).encode() + b"\n")
        except trio.BrokenResourceError:
            raise LinkTimeoutError("the node has gone") from None

    async def next_sight(self) -> Sight | None:
        """Return what comes next, None at the end; MalformedError, ConfigError, LinkTimeoutError."""
        while True:
            line = await self._next_line()
            if line is None:
                return None
            sight = sight_of_untrusted(line)
            if sight is not None:
                return sight

    async def _next_line(self) -> bytes | None:
        while (end := self._rest.find(b"\n")) < 0:
            if len(self._rest) > MAX_LINE_BYTES:
                raise MalformedError("the control socket says a line without an end")
            try:
                with trio.fail_after(_ANSWER_S):
                    data = await self._stream.receive_some(_CHUNK_BYTES)
            except trio.TooSlowError:
                raise LinkTimeoutError(_SILENT) from None
            except trio.BrokenResourceError:
                return None
            if not data:
                return None
            self._rest += data
        line = bytes(self._rest[:end])
        del self._rest[: end + 1]
        return line


def sight_of_untrusted(line: bytes) -> Sight | None:
    """Return what a line says; None for what we do not know. MalformedError, ConfigError."""
    try:
        value: object = json.loads(line)
    except (ValueError, RecursionError):
        value = None
    if not isinstance(value, dict):
        raise MalformedError("the control socket says what is no JSON object")
    said = cast("dict[str, Any]", value)
    if said.get("version") != VERSION:
        raise ConfigError(f"the node speaks another version of the control socket than {VERSION}: use its own command")
    if "error" in said:
        raise ConfigError(f"the node says: {one_line(str(said['error']))}")
    if "status" in said:
        return status_of_untrusted(said["status"])
    if isinstance(said.get("note"), str) and isinstance(said.get("fields"), dict):
        return Seen(said["note"], said["fields"], one_line(str(said.get("text", ""))))
    return Lost(said["lost"]) if isinstance(said.get("lost"), int) else None


@asynccontextmanager
async def open_sight(folder: Path) -> AsyncGenerator[Look]:
    """Connect to the node whose state folder this is; NotRunningError, ConfigError."""
    try:
        stream = await _connect(folder)
    except OSError as error:
        raise _refused(folder, error) from None
    async with stream:
        yield Look(stream)


async def look_at(folder: Path) -> NodeStatus:
    """Return how the node is whose state folder this is; NotRunningError, ConfigError, PeerError."""
    with trio.move_on_after(_LOOK_S):
        async with open_sight(folder) as look:
            await look.ask("status")
            while True:
                sight = await look.next_sight()
                if sight is None:
                    raise NotRunningError("has just ended")
                if isinstance(sight, NodeStatus):
                    return sight
    raise LinkTimeoutError(_SILENT)


async def _connect(folder: Path) -> trio.SocketStream:
    fd = open_folder(folder)
    try:
        sock = trio.socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            await sock.connect(path_through(fd, folder, SOCKET_NAME))
        except BaseException:
            sock.close()
            raise
    finally:
        os.close(fd)
    return trio.SocketStream(sock)


def _refused(folder: Path, error: OSError) -> Exception:
    match error.errno:
        case errno.ENOENT | errno.ENOTDIR if not folder.is_dir():
            return ConfigError(f"there is no state folder {folder}: name that of the node")
        case errno.ENOENT | errno.ECONNREFUSED:
            return NotRunningError("not running, or lets nobody look")
        case errno.EACCES | errno.EPERM:
            return ConfigError(f"{folder} belongs to another user: look as that user")
        case errno.EAGAIN:
            return ConfigError(f"{folder}: too many are looking at this node")
        case _:
            reason = os.strerror(error.errno) if error.errno else "unknown reason"
            return ConfigError(f"{folder}: nobody can look: {reason}")
