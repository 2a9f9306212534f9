"""One connection: handshake, then request and response in turn, until one of the two has enough."""

import logging
from typing import Final

import trio

from nodes.errors import root_cause, told
from nodes.https.body import Body
from nodes.https.errors import HttpError, TlsError
from nodes.https.house import House
from nodes.https.incoming import Incoming
from nodes.https.messages import Request, Response
from nodes.https.outgoing import Outgoing, PeerGoneError, plain
from nodes.https.table import Seat, Stage
from nodes.https.tls import TlsStream
from nodes.https.watch import AlarmKind
from protocols.errors import (
    AuthenticationError,
    LinkTimeoutError,
    PeerError,
    PolicyError,
    QueueFullError,
    StorageError,
    TruncatedError,
)
from protocols.guards.address import Address
from protocols.http1.events import RequestHead
from protocols.http1.refusal import RefusedError
from protocols.http1.server import ServerConnection

_LINGER_BYTES: Final = 262_144
_LINGER_S: Final = 1.0
_STATUS: Final = (
    (LinkTimeoutError, 408),
    (PeerError, 400),
    (AuthenticationError, 403),
    (PolicyError, 403),
    (StorageError, 503),
    (QueueFullError, 503),
)
"""What an error of a handler is to the peer; the first that fits."""
_log: Final = logging.getLogger(__name__)


class Connection:
    """Serves one peer."""

    def __init__(self, house: House, tls: TlsStream, peer: Address, seat: Seat) -> None:
        self._house = house
        self._tls = tls
        self._peer = peer
        self._seat = seat
        self._machine = ServerConnection(house.limits.message)
        self._incoming = Incoming(house, tls, self._machine, seat, peer)
        self._outgoing = Outgoing(house, tls, self._machine)

    async def run(self) -> None:
        """Return when it is over, and closed; a cancelled one is closed at once, unless the whole server closes."""
        trusted = over = False
        try:
            trusted = await self._handshake()
            while trusted and await self._turn():
                pass
            over = True
        except PeerGoneError:
            pass
        finally:
            if trusted and (over or self._house.closing.is_set()):
                await self._tls.aclose()
            else:
                await self._tls.abort()

    async def _handshake(self) -> bool:
        try:
            with trio.fail_after(self._house.limits.handshake_s):
                await self._tls.handshake()
        except trio.TooSlowError:
            self._house.counters.timed_out += 1
            return False
        except (TlsError, TruncatedError) as error:
            self._house.counters.handshakes_refused += 1
            self._house.alarm(AlarmKind.HANDSHAKE_REFUSED, self._peer, str(error))
            return False
        self._house.counters.handshakes += 1
        if self._tls.peer_certificate() is not None:  # OpenSSL has found it good
            self._house.door.know(self._seat.source)
        return True

    async def _turn(self) -> bool:
        """Serve one request; return whether there may be another."""
        try:
            head = await self._incoming.head()
        except RefusedError as error:
            self._house.counters.requests_refused += 1
            self._house.alarm(AlarmKind.REQUEST_REFUSED, self._peer, error.why.text)
            await self._last_answer(plain(error.why.status))
            return False
        except LinkTimeoutError:
            await self._last_answer(plain(408))
            return False
        if head is None:
            return False
        self._house.counters.requests += 1
        self._seat.enter(Stage.BUSY, trio.current_time())
        try:
            await self._serve(self._request(head))
        finally:
            self._incoming.let_go()
        if not self._machine.whole:
            await self._linger()
        return not self._house.closing.is_set() and self._machine.next_cycle()

    def _request(self, head: RequestHead) -> Request:
        return Request(
            head.method,
            head.path,
            head.headers,
            self._tls.peer_certificate(),
            Body(head.body_bytes, self._incoming.piece),
            head.query,
            self._peer,
        )

    async def _serve(self, request: Request) -> None:
        """Ask the handler, and send what it says; PeerGoneError if the connection is of no more use."""
        self._outgoing.begun = False
        try:
            response = await self._house.handler(request)
            self._incoming.skip_what_is_here()
            if isinstance(response.body, bytes):
                await self._outgoing.answer(response)
            else:
                await self._outgoing.stream(response, response.body)
        except PeerGoneError:
            raise
        except Exception as error:  # noqa: BLE001  # one request must not end the others
            status = self._status(root_cause(error), request)
            if self._outgoing.begun:
                raise PeerGoneError from None  # it breaks off, and the peer sees that
            self._incoming.skip_what_is_here()
            await self._outgoing.answer(plain(status))

    def _status(self, error: BaseException, request: Request) -> int:
        if isinstance(error, HttpError):
            return error.status
        for kind, status in _STATUS:
            if isinstance(error, kind):
                _log.info("%s: %s: %s", self._peer, status, error)
                return status
        self._house.counters.crashed += 1
        _log.error("the handler of a %s request has failed: %s", request.method, told(error))
        _log.debug("the handler failed", exc_info=error)
        return 500

    async def _last_answer(self, response: Response) -> None:
        self._seat.enter(Stage.BUSY, trio.current_time())
        await self._outgoing.answer(response)
        await self._linger()

    async def _linger(self) -> None:
        self._seat.enter(Stage.CLOSING, trio.current_time())
        await self._tls.drain(_LINGER_BYTES, _LINGER_S)
