"""The client: one connection is kept for requests, each stream has one of its own."""

import select
import ssl
from collections.abc import AsyncGenerator, AsyncIterator, Generator, Mapping
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from types import TracebackType
from typing import Final, Self

import trio

from nodes.config.endpoint import Endpoint
from nodes.https.errors import StatusError, TlsError
from nodes.https.limits import ClientLimits
from nodes.https.sockets import connect
from nodes.https.tls import TlsStream
from nodes.https.wire import Traffic, Wire
from protocols.errors import LinkTimeoutError, ProtocolViolationError, TruncatedError
from protocols.http1.refusal import RefusedError

_REPEATABLE: Final = frozenset(("GET", "PUT", "DELETE"))
"""Twice is as good as once (RFC 9110, 9.2.2)."""
_OK: Final = 200


@dataclass(frozen=True, slots=True)
class TlsSession:
    """What TLS has agreed upon."""

    suite: str
    """``TLS_AES_256_GCM_SHA384`` and the like."""
    handshake_s: float
    """Seconds that the handshake took."""


@dataclass(frozen=True, slots=True)
class ClientResponse:
    """What the server has answered, whatever its status is."""

    status: int
    """200 to 599."""
    headers: Mapping[str, str]
    """By name in lower case."""
    body: bytes
    """All of it, within the limits."""


class ClientStream(AsyncIterator[bytes]):
    """A response with status 200, piece by piece as it arrives; it ends when the server has ended it."""

    def __init__(self, client: "HttpsClient", wire: Wire, headers: Mapping[str, str]) -> None:
        self.headers = headers
        """By name in lower case."""
        self._client = client
        self._wire = wire

    async def __anext__(self) -> bytes:
        """Return the next piece. LinkTimeoutError after ``ClientLimits.stall_s``, TruncatedError when it breaks off."""
        with self._client.naming_the_server():
            piece = await self._wire.piece()
        if not piece:
            raise StopAsyncIteration
        return piece


class HttpsClient:
    """``async with HttpsClient(endpoint, context) as client: answer = await client.request("GET", "/v1/health")``."""

    def __init__(
        self,
        endpoint: Endpoint,
        context: ssl.SSLContext,
        server_hostname: str | None = None,
        limits: ClientLimits | None = None,
    ) -> None:
        """``server_hostname`` is the name that the certificate must have; the host of ``endpoint`` by default."""
        self._endpoint = endpoint
        self._context = context
        self._server_hostname = (server_hostname or endpoint.host).partition("%")[0]
        self._limits = limits or ClientLimits()
        self._host = str(Endpoint(self._server_hostname, endpoint.port))
        self._turn = trio.Lock()
        self._kept: _Kept | None = None
        self.session: TlsSession | None = None
        """Of the connection that was made last; None before the first."""
        self.traffic: Final = Traffic()
        """What was said and heard."""

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._kept is not None:
            await self._kept.wire.aclose()
            self._kept = None

    async def request(
        self, method: str, path: str, body: bytes = b"", *, headers: Mapping[str, str] | None = None
    ) -> ClientResponse:
        """Ask, and return the answer; many may ask, one after the other, on the one connection that is kept.

        A connection that has gone since the last request is opened anew. What happened with a request that breaks off
        is not known; it is repeated here only for GET, PUT and DELETE, only once, and only on a kept connection.

        Errors, each with one line: ConfigError (nobody there), TlsError (certificates), LinkTimeoutError,
        TruncatedError (it broke off), MalformedError and ProtocolViolationError (this is no server of ours).
        """
        async with self._turn:
            with self.naming_the_server():
                kept = await self._still_there()
                if kept is not None:
                    try:
                        return await self._exchange(kept, method, path, body, headers)
                    except TruncatedError:
                        if kept.wire.heard or method not in _REPEATABLE:
                            raise
                return await self._exchange(await self._open(), method, path, body, headers)

    @asynccontextmanager
    async def stream(
        self, method: str, path: str, *, headers: Mapping[str, str] | None = None
    ) -> AsyncGenerator[ClientStream]:
        """Ask on a connection of its own, and give the pieces of the answer; StatusError unless its status is 200.

        Errors as in :meth:`request`. Leaving the block closes the connection, which ends the stream at the server.
        """
        with self.naming_the_server():
            wire = (await self._open()).wire
        try:
            with self.naming_the_server(), _broken_is_truncated():
                head = await wire.ask(method, path, self._fields(headers), streaming=True)
            if head.status != _OK:
                raise StatusError(f"{self._endpoint}: the server answers with status {head.status}", head.status)
            yield ClientStream(self, wire, head.headers)
        finally:
            await wire.aclose()

    @contextmanager
    def naming_the_server(self) -> Generator[None]:
        """Put the name of the server before what went wrong with it."""
        try:
            yield
        except RefusedError as error:
            raise RefusedError(f"{self._endpoint}: {error}", error.why) from None
        except (TlsError, LinkTimeoutError, TruncatedError, ProtocolViolationError) as error:
            line = str(error)
            if line.startswith(f"{self._endpoint}: "):
                raise
            raise type(error)(f"{self._endpoint}: {line}") from None

    async def _exchange(
        self, kept: "_Kept", method: str, path: str, body: bytes, headers: Mapping[str, str] | None
    ) -> ClientResponse:
        self._kept = None  # until it has gone well
        try:
            head, content = await kept.wire.exchange(method, path, self._fields(headers), body)
        except BaseException:
            await kept.wire.abort()
            raise
        if kept.wire.reusable:
            self._kept = kept
        else:
            await kept.wire.aclose()
        return ClientResponse(head.status, head.headers, content)

    def _fields(self, headers: Mapping[str, str] | None) -> dict[str, str]:
        return {"Host": self._host, **(headers or {})}

    async def _still_there(self) -> "_Kept | None":
        """Return the kept connection, unless the server has closed it: then there is something to read."""
        kept = self._kept
        if kept is None or not _readable(kept.transport):
            return kept
        self._kept = None
        await kept.wire.abort()
        return None

    async def _open(self) -> "_Kept":
        limits = self._limits
        transport = await connect(self._endpoint, limits.connect_s)
        began_s = trio.current_time()
        try:
            tls = TlsStream(transport, self._context, server_hostname=self._server_hostname)
            with trio.fail_after(limits.connect_s):
                await tls.handshake()
            if tls.version() != "TLSv1.3":
                raise TlsError("TLS: the server does not speak TLS 1.3")
        except trio.TooSlowError:
            await trio.aclose_forcefully(transport)
            raise LinkTimeoutError("no answer to the TLS handshake") from None
        except BaseException:
            await trio.aclose_forcefully(transport)
            raise
        self.session = TlsSession(tls.suite(), trio.current_time() - began_s)
        return _Kept(transport, Wire(tls, limits, self.traffic))


@dataclass(frozen=True, slots=True)
class _Kept:
    """A connection that is open."""

    transport: trio.SocketStream
    """What is under TLS."""
    wire: Wire
    """What is above it."""


@contextmanager
def _broken_is_truncated() -> Generator[None]:
    try:
        yield
    except trio.BrokenResourceError:
        raise TruncatedError("the connection broke off before the answer was whole") from None


def _readable(transport: trio.SocketStream) -> bool:
    poll = select.poll()
    poll.register(transport.socket.fileno(), select.POLLIN)
    return bool(poll.poll(0))
