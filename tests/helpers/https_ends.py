"""Both ends of HTTPS for tests: contexts, a server on streams in memory, and a raw client that may say anything."""

import ssl
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import cast

import trio
import trio.testing

from nodes.https import Handler, HttpLimits, HttpsServer, Request, Response
from nodes.https.server import Context
from nodes.https.tls import TlsStream
from nodes.https.watch import OnAlarm
from protocols.guards.address import Address, ip_address
from tests.helpers.certificates import HOST, client_context, make_authority, server_context

Pair = Callable[[], tuple[trio.abc.Stream, trio.abc.Stream]]
WALL_CLOCK_S = 1_700_000_000.0
MEMORY = cast("Pair", trio.testing.memory_stream_pair)
LOCKSTEP = cast("Pair", trio.testing.lockstep_stream_pair)
"""Takes a byte only when the other end asks for it."""
PUT = b"PUT /a HTTP/1.1\r\nHost: a\r\nContent-Length: 100000\r\n\r\n"
END = b"\r\n0\r\n\r\n"
"""Of a response in chunks."""


@dataclass(frozen=True)
class Contexts:
    """Of TLS."""

    server: ssl.SSLContext
    open_server: ssl.SSLContext
    """Asks for no certificate."""
    device: ssl.SSLContext
    device_der: bytes
    nobody: ssl.SSLContext
    """Has no certificate."""
    stranger: ssl.SSLContext
    """Has the certificate of another authority."""
    expired: ssl.SSLContext
    old: ssl.SSLContext
    """Speaks TLS 1.2."""
    doubtful: ssl.SSLContext
    """Trusts another authority."""
    old_server: ssl.SSLContext
    """Speaks TLS 1.2."""


@cache
def contexts() -> Contexts:
    """Return one set for all tests."""
    with TemporaryDirectory() as name:
        folder = Path(name)
        ours, theirs = make_authority(folder), make_authority(folder, "other")
        cloud, device = ours.issue(HOST), ours.issue("device")
        old = client_context(ours, device)
        old.maximum_version = ssl.TLSVersion.TLSv1_2
        open_server, old_server = server_context(ours, cloud), server_context(ours, cloud)
        open_server.verify_mode = ssl.CERT_NONE
        old_server.minimum_version = old_server.maximum_version = ssl.TLSVersion.TLSv1_2
        return Contexts(
            server_context(ours, cloud),
            open_server,
            client_context(ours, device),
            device.der,
            client_context(ours, None),
            client_context(ours, theirs.issue("stranger")),
            client_context(ours, ours.issue("late", days=-1)),
            old,
            client_context(theirs, device),
            old_server,
        )


class Raw:
    """A client that says what it is told, and keeps what it hears."""

    def __init__(self, tls: TlsStream) -> None:
        self.tls = tls
        self.heard = b""

    async def say(self, data: bytes) -> None:
        await self.tls.send(data)

    async def until(self, mark: bytes) -> bytes:
        """Return what is heard up to the end of a mark; EOFError if the server closes before it."""
        while mark not in self.heard:
            data = await self.tls.receive(65_536)
            if not data:
                raise EOFError(self.heard)
            self.heard += data
        before, _, self.heard = self.heard.partition(mark)
        return before + mark

    async def rest(self) -> bytes:
        """Return everything up to the end of the stream."""
        while data := await self.tls.receive(65_536):
            self.heard += data
        found, self.heard = self.heard, b""
        return found


@dataclass
class Desk:
    """A server, and a way to it that needs no network."""

    server: HttpsServer
    nursery: trio.Nursery
    pair: Pair

    async def dial(self, context: ssl.SSLContext | None = None, source: str = "192.0.2.1") -> Raw:
        """Connect from an address, and do the handshake."""
        tls = TlsStream(self.plug(ip_address(source, 1024)), context or contexts().device, server_hostname=HOST)
        await tls.handshake()
        return Raw(tls)

    def plug(self, peer: Address) -> trio.abc.Stream:
        """Connect, and say nothing."""
        near, far = self.pair()
        self.nursery.start_soon(self.server.attend, far, peer)
        return near


@asynccontextmanager
async def desk(
    handler: Handler,
    limits: HttpLimits | None = None,
    *,
    context: Context | None = None,
    on_alarm: OnAlarm | None = None,
    pair: Pair = MEMORY,
) -> AsyncGenerator[Desk]:
    """Give a server on streams in memory."""
    server = HttpsServer(
        handler, context or contexts().server, limits, on_alarm=on_alarm, wall_clock=lambda: WALL_CLOCK_S
    )
    async with trio.open_nursery() as nursery:
        async with server:
            yield Desk(server, nursery, pair)
        nursery.cancel_scope.cancel()


async def echo(request: Request) -> Response:
    """Say what the request was."""
    body = await request.body.read(10_000_000)
    return Response(200, f"{request.method} {request.path} {request.query} {len(body)}\n".encode())


def get(path: str = "/", *, close: bool = False) -> bytes:
    """Return a good request."""
    last = "Connection: close\r\n" if close else ""
    return f"GET {path} HTTP/1.1\r\nHost: a\r\n{last}\r\n".encode()


def lines(answer: bytes) -> list[bytes]:
    """Return the lines of the head of an answer."""
    return answer.partition(b"\r\n\r\n")[0].split(b"\r\n")
