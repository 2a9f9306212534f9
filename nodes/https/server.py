"""The server: accepts, speaks TLS, lets in what the front check lets in, and asks a handler."""

import logging
import ssl
import time
from collections.abc import Callable
from typing import Final

import trio

from nodes.config.endpoint import Endpoint
from nodes.errors import told
from nodes.https.connection import Connection
from nodes.https.house import House
from nodes.https.limits import HttpLimits
from nodes.https.messages import Handler
from nodes.https.sockets import CAPACITY, listen, where, whose
from nodes.https.table import Seat, Stage
from nodes.https.tls import TlsStream
from nodes.https.watch import AlarmKind, HttpCounters, OnAlarm
from nodes.service import Service
from protocols.guards.address import Address, source_key

_CAPACITY_WAIT_S: Final = 0.1
_log: Final = logging.getLogger(__name__)

Context = ssl.SSLContext | Callable[[], ssl.SSLContext]


class HttpsServer(Service):
    """``async with HttpsServer(handler, context) as server: where = await server.serve(endpoint)``."""

    def __init__(
        self,
        handler: Handler,
        context: Context,
        limits: HttpLimits | None = None,
        *,
        on_alarm: OnAlarm | None = None,
        wall_clock: Callable[[], float] = time.time,
    ) -> None:
        """``context`` says who may come in (a function is asked for each connection); ``wall_clock``: Unix seconds."""
        self.counters = HttpCounters()
        self._house = House(handler, limits or HttpLimits(), self.counters, wall_clock, on_alarm)
        self._context = context
        self._table = self._house.table
        self._listeners: list[trio.SocketListener] = []
        self._empty = trio.Event()

    @property
    def connections(self) -> int:
        """How many there are now."""
        return len(self._table)

    async def serve(self, endpoint: Endpoint) -> Endpoint:
        """Listen there too; return where that is (port 0: chosen). ConfigError with one line when it cannot be."""
        listener = await listen(endpoint)
        self._listeners.append(listener)
        self._start_soon(self._accept, listener)
        return where(listener)

    async def attend(self, transport: trio.abc.Stream, peer: Address) -> None:
        """Serve one connection that has come some other way; return when it is over."""
        scope = trio.CancelScope()
        seat = Seat(source_key(peer), scope.cancel)
        if not self._house.door.lets_in(seat.source, trio.current_time()):
            self.counters.turned_away += 1
            self._house.alarm(AlarmKind.HASTY, peer, "it was closed before TLS")
            await trio.aclose_forcefully(transport)
            return
        admitted, gone = self._table.admit(seat, trio.current_time())
        self.counters.evicted += len(gone)
        if gone or not admitted:
            self._house.alarm(AlarmKind.CROWDED, peer, "a limit of connections is reached")
        if not admitted:
            await trio.aclose_forcefully(transport)
            return
        self.counters.accepted += 1
        try:
            with scope:
                context = self._context if isinstance(self._context, ssl.SSLContext) else self._context()
                await Connection(self._house, TlsStream(transport, context), peer, seat).run()
        except Exception as error:  # noqa: BLE001  # one connection must not end the others
            self.counters.crashed += 1
            _log.error("a connection has failed: %s", told(error))
            _log.debug("a connection failed", exc_info=error)
        finally:
            self._table.remove(seat)
            await trio.aclose_forcefully(transport)
            if not len(self._table):
                self._empty.set()

    async def _accept(self, listener: trio.SocketListener) -> None:
        while True:
            try:
                stream = await listener.accept()
            except trio.ClosedResourceError:
                return
            except OSError as error:
                if error.errno not in CAPACITY:
                    raise
                self.counters.evicted += self._table.drop_worst() is not None
                _log.warning("a connection waits: %s", error.strerror)
                await trio.sleep(_CAPACITY_WAIT_S)
                continue
            peer = whose(stream)
            if peer is None:
                await trio.aclose_forcefully(stream)
            else:
                self._start_soon(self.attend, stream, peer)

    async def _goodbye(self) -> None:
        """Take no more, end what never ends, give the others some time."""
        for listener in self._listeners:
            await listener.aclose()
        self._house.closing.set()
        for seat in self._table.up_to(Stage.IDLE):
            seat.leave()
        if len(self._table):
            self._empty = trio.Event()
            with trio.move_on_after(self._house.limits.shutdown_s):
                await self._empty.wait()
