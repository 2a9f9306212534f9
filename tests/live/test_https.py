"""HTTPS on real sockets: our client, our server, certificates, and other clients (specs/http-front.md)."""

import errno
import ssl
from collections.abc import AsyncIterator, Callable
from hashlib import sha256

import pytest
import trio

from nodes import Endpoint
from nodes.https import (
    Alarm,
    AlarmKind,
    HttpLimits,
    HttpsClient,
    HttpsServer,
    Request,
    Response,
    StatusError,
    TlsError,
)
from nodes.https.sockets import connect, listen, where
from protocols.errors import ConfigError, TruncatedError
from protocols.http1.limits import MessageLimits
from tests.helpers.certificates import HOST
from tests.helpers.https_ends import contexts, echo
from tests.live.kit import DEADLINE_S, LOOPBACK, one_line, until


def client_of(place: Endpoint, context: ssl.SSLContext | None = None) -> HttpsClient:
    return HttpsClient(place, context or contexts().device, HOST)


async def open_stream(client: HttpsClient, path: str = "/") -> None:
    async with client.stream("GET", path):
        pass


# --- both of ours -------------------------------------------------------------------------------


async def test_hf_47_requests_share_a_connection() -> None:
    async with HttpsServer(echo, contexts().server) as server, client_of(await server.serve(LOOPBACK)) as client:
        with trio.fail_after(DEADLINE_S):
            answer = await client.request("GET", "/a?b", headers={"X-Extra": "y"})
            assert (answer.status, answer.body) == (200, b"GET /a b 0\n")
            assert answer.headers["cache-control"] == "no-store"
            for method, body in (("POST", b""), ("PUT", bytes(1_000)), ("DELETE", b"")):
                answer = await client.request(method, "/", body)
                assert answer.body == f"{method} /  {len(body)}\n".encode()
            async with trio.open_nursery() as nursery:
                for _ in range(10):
                    nursery.start_soon(client.request, "GET", "/many")
        assert (server.counters.requests, server.counters.accepted) == (14, 1)
        assert server.connections == 1


async def test_a_client_counts_what_it_says_and_hears() -> None:
    async with HttpsServer(echo, contexts().server) as server, client_of(await server.serve(LOOPBACK)) as client:
        with trio.fail_after(DEADLINE_S):
            assert (client.traffic.sent_bytes, client.traffic.received_bytes) == (0, 0)
            await client.request("POST", "/", bytes(5_000))
            sent_bytes, received_bytes = client.traffic.sent_bytes, client.traffic.received_bytes
            assert 5_000 < sent_bytes < 6_000
            assert 20 < received_bytes < 1_000
            await open_stream(client)  # on a connection of its own
            assert sent_bytes < client.traffic.sent_bytes < 7_000
            assert received_bytes < client.traffic.received_bytes


async def test_hf_22_a_large_body_streams_through() -> None:
    """Both ways at the pace of who takes it, and unchanged."""
    size = 30_000_000

    async def handler(request: Request) -> Response:
        digest = sha256()
        async for piece in request.body:
            assert len(piece) <= 65_536
            digest.update(piece)
        return Response(200, digest.hexdigest().encode())

    body = sha256(b"x").digest() * (size // 32)
    limits = HttpLimits(message=MessageLimits(body_bytes=size))
    async with (
        HttpsServer(handler, contexts().server, limits) as server,
        client_of(await server.serve(LOOPBACK)) as client,
    ):
        with trio.fail_after(DEADLINE_S):
            answer = await client.request("PUT", "/", body)
        assert answer.body == sha256(body).hexdigest().encode()


async def test_hf_21_an_answer_before_the_request_is_out_is_read() -> None:
    async with HttpsServer(echo, contexts().server) as server, client_of(await server.serve(LOOPBACK)) as client:
        with trio.fail_after(DEADLINE_S):
            assert (await client.request("PUT", "/", bytes(20_000_000))).status == 413
            assert (await client.request("GET", "/")).status == 200


class Streamed:
    """A server with a stream, and whether it has ended."""

    def __init__(self) -> None:
        self.ended = trio.Event()
        self.feed, self.more = trio.open_memory_channel[bytes](10)

    async def pieces(self) -> AsyncIterator[bytes]:
        try:
            async for each in self.more:
                yield each
        finally:
            self.ended.set()

    async def handler(self, request: Request) -> Response:
        return Response(404) if request.path == "/none" else Response(200, self.pieces())


async def test_hf_33_a_stream_ends_when_the_client_leaves_it() -> None:
    streamed = Streamed()
    async with (
        HttpsServer(streamed.handler, contexts().server) as server,
        client_of(await server.serve(LOOPBACK)) as client,
    ):
        with trio.fail_after(DEADLINE_S):
            async with client.stream("GET", "/events") as stream:
                assert stream.headers["transfer-encoding"] == "chunked"
                for piece in (b"one", b"two"):
                    await streamed.feed.send(piece)
                    assert await anext(stream) == piece
                assert not streamed.ended.is_set()
            await streamed.ended.wait()
            await until(lambda: not server.connections)


async def test_hf_33_37_a_stream_ends_cleanly_when_the_server_closes() -> None:
    streamed, ended = Streamed(), trio.Event()

    async with trio.open_nursery() as nursery:
        async with HttpsServer(streamed.handler, contexts().server) as server:
            place = await server.serve(LOOPBACK)
            started = trio.Event()

            async def listen() -> None:
                async with client_of(place) as client, client.stream("GET", "/events") as stream:
                    started.set()
                    assert [piece async for piece in stream] == []
                    ended.set()

            nursery.start_soon(listen)
            await started.wait()
        with trio.fail_after(DEADLINE_S):
            await ended.wait()
    assert streamed.ended.is_set()


async def test_a_stream_that_is_not_there_is_an_error_with_its_status() -> None:
    async with HttpsServer(Streamed().handler, contexts().server) as server:
        async with client_of(await server.serve(LOOPBACK)) as client:
            with pytest.raises(StatusError) as caught:
                await open_stream(client, "/none")
        assert caught.value.status == 404
        assert "404" in one_line(caught.value)


async def test_hf_37_a_port_is_free_again() -> None:
    async with HttpsServer(echo, contexts().server) as server:
        place = await server.serve(LOOPBACK)
        with pytest.raises(ConfigError, match="in use"):
            await server.serve(place)
    with pytest.raises(ConfigError) as caught:
        async with client_of(place) as client:
            await client.request("GET", "/")
    assert "nobody listens" in one_line(caught.value)
    async with HttpsServer(echo, contexts().server) as server:
        assert await server.serve(place) == place


async def test_hf_34_a_machine_without_free_files_serves_on(monkeypatch: pytest.MonkeyPatch) -> None:
    """Who has done nothing for longest makes room."""
    accept, refusals = trio.SocketListener.accept, [errno.EMFILE]

    async def full(self: trio.SocketListener) -> trio.SocketStream:
        if server.connections and refusals:
            raise OSError(refusals.pop(), "no more files")
        return await accept(self)

    monkeypatch.setattr(trio.SocketListener, "accept", full)
    async with HttpsServer(echo, contexts().server) as server:
        place = await server.serve(LOOPBACK)
        async with client_of(place) as idle, client_of(place) as other:
            with trio.fail_after(DEADLINE_S):
                assert (await idle.request("GET", "/")).status == 200
                assert (await other.request("GET", "/")).status == 200
                assert (await other.request("GET", "/")).status == 200
        assert server.counters.evicted == 1
        assert not refusals


# --- certificates -------------------------------------------------------------------------------

REFUSED: dict[str, tuple[Callable[[], ssl.SSLContext], str, str]] = {
    "no-certificate": (lambda: contexts().nobody, "asks for a certificate", "has no certificate"),
    "foreign": (lambda: contexts().stranger, "does not trust", "not trusted here"),
    "expired": (lambda: contexts().expired, "has expired", "has expired"),
    "tls-1.2": (lambda: contexts().old, "TLS 1.3", "TLS 1.3"),
    "doubtful": (lambda: contexts().doubtful, "not trusted here", "does not trust"),
}


@pytest.mark.parametrize("name", REFUSED)
async def test_hf_45_34_certificates_are_refused_in_one_line_at_both_ends(name: str) -> None:
    """With TLS 1.3 the client has done its handshake by then, and learns it when it reads."""
    context, here, there = REFUSED[name]
    alarms: list[Alarm] = []
    async with HttpsServer(echo, contexts().server, on_alarm=alarms.append) as server:
        place = await server.serve(LOOPBACK)
        with trio.fail_after(DEADLINE_S):
            for attempt in range(2):
                async with client_of(place, context()) as client:
                    with pytest.raises(TlsError) as caught:
                        await (open_stream(client) if attempt else client.request("POST", "/", bytes(500_000)))
                line = one_line(caught.value)
                assert here in line
                assert line.startswith(str(place))
            await until(lambda: len(alarms) == 2)
            async with client_of(place) as client:  # it lives on
                assert (await client.request("GET", "/")).status == 200
        assert (server.counters.handshakes_refused, server.counters.requests) == (2, 1)
    assert {each.kind for each in alarms} == {AlarmKind.HANDSHAKE_REFUSED}
    assert all(there in each.detail for each in alarms)


async def test_hf_45_another_name_is_refused() -> None:
    async with HttpsServer(echo, contexts().server) as server:
        place = await server.serve(LOOPBACK)
        async with HttpsClient(place, contexts().device, "other.test") as client:
            with pytest.raises(TlsError, match="another host"):
                await client.request("GET", "/")
        async with HttpsClient(place, contexts().device) as client:  # by its address, which the certificate has
            assert (await client.request("GET", "/")).status == 200


@pytest.mark.parametrize("orderly", [True, False])
async def test_hf_45_a_break_in_the_handshake_is_no_word_about_certificates(orderly: bool) -> None:
    """A cloud that restarts, or is full: whoever took it for a refusal would wait for minutes."""
    listener = await listen(LOOPBACK)

    async def hang_up() -> None:
        while True:
            stream = await listener.accept()
            if orderly:  # otherwise what was sent and not read makes it a reset
                await stream.receive_some(10_000)
            await stream.aclose()

    async with listener, trio.open_nursery() as nursery, client_of(where(listener)) as client:
        nursery.start_soon(hang_up)
        with trio.fail_after(DEADLINE_S), pytest.raises(TruncatedError) as caught:
            await client.request("GET", "/")
        assert "broke off" in one_line(caught.value)
        nursery.cancel_scope.cancel()


async def test_hf_45_an_old_server_is_refused() -> None:
    async with HttpsServer(echo, contexts().old_server) as server, client_of(await server.serve(LOOPBACK)) as client:
        with pytest.raises(TlsError, match=r"TLS 1\.3"):
            await client.request("GET", "/")


@pytest.mark.parametrize(
    "data", [b"GET / HTTP/1.1\r\nHost: a\r\n\r\n", bytes(100), b"\x16\x03\x01\xff\xff" + bytes(500)]
)
async def test_hf_34_what_is_no_tls_ends_no_server(data: bytes) -> None:
    async with HttpsServer(echo, contexts().server) as server:
        place = await server.serve(LOOPBACK)
        with trio.fail_after(DEADLINE_S):
            stream = await connect(place, 1.0)
            await stream.send_all(data)
            await stream.send_eof()
            while await stream.receive_some(1_000):
                pass
            await stream.aclose()
            async with client_of(place) as client:
                assert (await client.request("GET", "/")).status == 200
        assert server.counters.handshakes_refused == 1
