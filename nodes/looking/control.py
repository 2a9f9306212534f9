"""The control socket of a running node: what others may see of it, and nothing that they may do (CS-5 to CS-11)."""

import json
import logging
import os
import socket
import struct
from collections import deque
from collections.abc import Callable, Iterator
from typing import Any, Final, cast

import trio

from nodes.looking.passes import seen
from nodes.looking.plain import VERSION, to_plain
from nodes.looking.status import NodeStatus
from nodes.stations.notes import Note
from nodes.stations.sentences import Quarters
from nodes.wakeup import Wakeup

REQUESTS: Final = ("status", "monitor")
MAX_CONNECTIONS: Final = 16
MAX_REQUEST_BYTES: Final = 1_024
MAX_NOTES: Final = 256
"""That wait for one reader."""
IDLE_S: Final = 30.0
"""Without a request, or without taking anything."""
STATUS_S: Final = 1.0
"""Between two statuses of a monitor."""
_CREDENTIALS: Final = struct.Struct("3i")
"""``struct ucred``: pid, uid, gid (unix(7))."""
_GONE: Final = (trio.BrokenResourceError, trio.ClosedResourceError, OSError)
_log: Final = logging.getLogger(__name__)


class RequestError(Exception):
    """A request that is none; its text is the answer."""


class Control:
    """Answers whoever looks. ``tell`` is called for each note and costs nothing while nobody monitors."""

    def __init__(self, status: Callable[[], NodeStatus], uid: int | None = None) -> None:
        """``status``: how the node is now; ``uid``: who may look beside root, by default our own user."""
        self._status = status
        self._uids = {0, os.geteuid() if uid is None else uid}
        self._open = 0
        self._readers: set[_Reader] = set()
        self._quarters = Quarters()

    def tell(self, note: Note) -> None:
        """Pass a note on to every monitor that has room for it."""
        if self._readers:
            line = seen(note, tells=self._quarters.passes(note))
            if line is not None:
                data = _line(line)
                for reader in self._readers:
                    reader.add(data)

    async def run(self, sock: socket.socket) -> None:
        """Serve a listening socket for ever."""
        listener = trio.SocketListener(trio.socket.from_stdlib_socket(sock))
        async with trio.open_nursery() as nursery:
            await trio.serve_listeners(self._serve, [listener], handler_nursery=nursery)

    async def _serve(self, stream: trio.SocketStream) -> None:
        self._open += 1
        try:
            async with stream:
                if _uid(stream) in self._uids:
                    await self._answer(stream)
        except* _GONE:
            pass
        except* Exception:  # noqa: BLE001  # the border: who looks never ends what flies
            _log.exception("a look at the node has failed")
        finally:
            self._open -= 1

    async def _answer(self, stream: trio.SocketStream) -> None:
        try:
            if self._open > MAX_CONNECTIONS:
                raise RequestError("too many are looking")
            requests = _Requests(stream)
            while (request := await requests.next_untrusted()) == "status":
                await _send(stream, self._status_line())
            if request == "monitor" and not requests.has_more:
                await self._monitor(stream)
        except RequestError as error:
            await _send(stream, _line({"error": str(error)}))

    def _status_line(self) -> bytes:
        return _line({"status": to_plain(self._status())})

    async def _monitor(self, stream: trio.SocketStream) -> None:
        reader = _Reader()
        self._readers.add(reader)
        try:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._feed, stream, reader)
                await stream.receive_some(1)  # the other end has gone, or says what it should not
                nursery.cancel_scope.cancel()
        finally:
            self._readers.discard(reader)

    async def _feed(self, stream: trio.SocketStream, reader: "_Reader") -> None:
        while True:
            await _send(stream, self._status_line())
            until_s = trio.current_time() + STATUS_S
            while trio.current_time() < until_s:
                with trio.move_on_at(until_s):
                    await reader.wake.wait()
                for line in reader.take():
                    await _send(stream, line)


class _Reader:
    """Who monitors, and what waits for him."""

    def __init__(self) -> None:
        self.wake: Final = Wakeup()
        self._lines = deque[bytes]()
        self._lost = 0

    def add(self, line: bytes) -> None:
        if len(self._lines) >= MAX_NOTES:
            self._lost += 1
            return
        if self._lost:
            self._lines.append(_line({"lost": self._lost}))
            self._lost = 0
        self._lines.append(line)
        self.wake.set()

    def take(self) -> Iterator[bytes]:
        """Yield what waits, each as it leaves: until then it takes room."""
        for _ in range(len(self._lines)):
            yield self._lines.popleft()


class _Requests:
    """Cuts what comes into requests."""

    def __init__(self, stream: trio.SocketStream) -> None:
        self._stream = stream
        self._rest = bytearray()

    @property
    def has_more(self) -> bool:
        """Whether more has come than what was asked for."""
        return bool(self._rest)

    async def next_untrusted(self) -> str:
        """Return the next request; nothing at the end. RequestError."""
        with trio.move_on_after(IDLE_S):
            while (end := self._rest.find(b"\n", 0, MAX_REQUEST_BYTES)) < 0:
                if len(self._rest) >= MAX_REQUEST_BYTES:
                    raise RequestError(f"a request has at most {MAX_REQUEST_BYTES} bytes")
                data = await self._stream.receive_some(MAX_REQUEST_BYTES)
                if not data:
                    return ""
                self._rest += data
            line = bytes(self._rest[:end])
            del self._rest[: end + 1]
            return _request_untrusted(line)
        return ""


def _request_untrusted(line: bytes) -> str:
    try:
        value: object = json.loads(line)
    except (ValueError, RecursionError):
        value = None
    if not isinstance(value, dict):
        raise RequestError("a request is a JSON object on one line")
    fields = cast("dict[str, object]", value)
    if type(fields.get("version")) is not int or fields["version"] != VERSION:
        raise RequestError(f"this node speaks version {VERSION}")
    request = fields.get("request")
    if not isinstance(request, str) or request not in REQUESTS:
        raise RequestError("there are two requests: status and monitor")
    return request


def _line(value: dict[str, Any]) -> bytes:
    return json.dumps({"version": VERSION, **value}).encode() + b"\n"


async def _send(stream: trio.SocketStream, line: bytes) -> None:
    """Send a line; BrokenResourceError if the other end takes nothing for too long."""
    with trio.move_on_after(IDLE_S):
        await stream.send_all(line)
        return
    raise trio.BrokenResourceError("nobody reads")


def _uid(stream: trio.SocketStream) -> int:
    """Return the user at the other end of a connection, as the kernel knows it."""
    raw = stream.socket.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
    _, uid, _ = _CREDENTIALS.unpack(raw)
    return int(uid)
