"""Metrics over plain HTTP: a few connections, one request each, and everything within a deadline.

h11 reads the requests. They change nothing and carry no secrets, so what the cloud's door is strict about
(specs/http-front.md) matters little here; that somebody slow holds nothing up does.
"""

import logging
from collections.abc import Callable
from typing import Final

import h11
import trio

from nodes.looking.metrics import CONTENT_TYPE

MAX_CONNECTIONS: Final = 16
MAX_HEAD_BYTES: Final = 8_192
REQUEST_S: Final = 5.0
"""For a request and its answer."""
LINGER_S: Final = 0.5
"""For the other end to read an answer that came before it had said everything."""
PATH: Final = "/metrics"
_PLAIN: Final = "text/plain; charset=utf-8"
_Reply = tuple[int, bytes, str]
"""Status, body, what the body is."""
_GONE: Final = (trio.BrokenResourceError, trio.ClosedResourceError, OSError)
_log: Final = logging.getLogger(__name__)


class MetricsServer:
    """Serves a text at ``/metrics``."""

    def __init__(self, text: Callable[[], bytes]) -> None:
        self._text = text
        self._open = 0

    async def run(self, listener: trio.SocketListener) -> None:
        """Serve for ever."""
        async with trio.open_nursery() as nursery:
            await trio.serve_listeners(self._serve, [listener], handler_nursery=nursery)

    async def _serve(self, stream: trio.SocketStream) -> None:
        self._open += 1
        try:
            with trio.move_on_after(REQUEST_S):
                await self._answer(stream, h11.Connection(h11.SERVER, MAX_HEAD_BYTES))
        except _GONE:
            pass
        except Exception:  # noqa: BLE001  # the border: who asks for metrics never ends what flies
            _log.exception("metrics could not be served")
        finally:
            self._open -= 1
            await trio.aclose_forcefully(stream)

    async def _answer(self, stream: trio.SocketStream, connection: h11.Connection) -> None:
        if self._open > MAX_CONNECTIONS:
            await _send(stream, connection, (503, b"too many are asking\n", _PLAIN))
            return
        try:
            request = await _request_untrusted(stream, connection)
        except h11.RemoteProtocolError as error:
            await _send(stream, connection, (error.error_status_hint, b"this is no request\n", _PLAIN))
        else:
            if request is not None:
                await _send(stream, connection, self._reply(request), bodiless=request.method == b"HEAD")
        with trio.move_on_after(LINGER_S):
            while await stream.receive_some(MAX_HEAD_BYTES):
                pass

    def _reply(self, request: h11.Request) -> _Reply:
        path = request.target.partition(b"?")[0].decode("ascii", "replace")
        if path != PATH:
            return 404, b"metrics are at /metrics\n", _PLAIN
        if request.method not in {b"GET", b"HEAD"}:
            return 405, b"metrics can be read, with GET\n", _PLAIN
        return 200, self._text(), CONTENT_TYPE


async def _request_untrusted(stream: trio.SocketStream, connection: h11.Connection) -> h11.Request | None:
    """Return the head of a request; None at the end. RemoteProtocolError. A body is not read."""
    while True:
        event = connection.next_event()
        if isinstance(event, h11.Request):
            return event
        if event is not h11.NEED_DATA:
            return None
        connection.receive_data(await stream.receive_some(MAX_HEAD_BYTES))


async def _send(
    stream: trio.SocketStream, connection: h11.Connection, reply: _Reply, *, bodiless: bool = False
) -> None:
    """Answer, and say that nothing more comes."""
    status, body, kind = reply
    headers = [
        ("Content-Type", kind),
        ("Content-Length", str(len(body))),
        ("Cache-Control", "no-store"),
        ("X-Content-Type-Options", "nosniff"),
        ("Connection", "close"),
        *([("Allow", "GET, HEAD")] if status == 405 else []),
    ]
    events = [h11.Response(status_code=status, headers=headers), h11.Data(b"" if bodiless else body)]
    await stream.send_all(b"".join(connection.send(event) or b"" for event in events))
    await stream.send_eof()
