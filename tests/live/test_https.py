"""HTTPS on real sockets: our client, our server, certificates, and other clients (specs/http-front.md)."""

import errno
import socket
import ssl
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from hashlib import sha256

import pytest
import trio

from nodes import Endpoint
from nodes.https import (
    Alarm,
    AlarmKind,
    ClientLimits,
    HttpLimits,
    HttpsClient,
    HttpsServer,
    Request,
    Response,
    StatusError,
    TlsError,
)
from nodes.https.sockets import connect, where
from protocols.errors import ConfigError, LinkTimeoutError, TruncatedError, UsageError
from protocols.http1.limits import MessageLimits
from protocols.http1.refusal import RefusedError
from tests.helpers.certificates import HOST
from tests.helpers.https_ends import contexts, echo
from tests.live.kit import DEADLINE_S, LOOPBACK, one_line, until

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
PATIENT = ClientLimits()
SOON_S = 0.2


def client_of(
    where: Endpoint, context: ssl.SSLContext | None = None, limits: ClientLimits | None = None
) -> HttpsClient:
    return HttpsClient(where, context or contexts().device, HOST, limits)


async def open_stream(client: HttpsClient, path: str = "/") -> None:
    async with client.stream("GET", path):
        pass


class Cut(bytes):
    """What a server says before it cuts the connection."""


@asynccontextmanager
async def scripted(*answers: bytes | None) -> AsyncGenerator[tuple[Endpoint, list[bytes]]]:
    """Give a TLS server that has one answer for each head that arrives, on whatever connection; None: it is silent."""
    heads: list[bytes] = []
    script = list(answers)

    async def serve(transport: trio.SocketStream) -> None:
        stream, data = trio.SSLStream(transport, contexts().server, server_side=True, https_compatible=True), b""
        with suppress(trio.BrokenResourceError):
            while script:
                more = await stream.receive_some(65_536)
                data += more
                if not more:
                    break
                if b"\r\n\r\n" not in data:
                    continue
                heads.append(data)
                data, answer = b"", script.pop(0)
                if answer is None:
                    await trio.sleep_forever()
                else:
                    await stream.send_all(answer)
                if isinstance(answer, Cut):
                    break
        await trio.aclose_forcefully(stream)

    listener = (await trio.open_tcp_listeners(0, host="127.0.0.1"))[0]
    async with trio.open_nursery() as nursery:
        nursery.start_soon(trio.serve_listeners, serve, [listener])
        with trio.fail_after(DEADLINE_S):
            yield where(listener), heads
        nursery.cancel_scope.cancel()


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


# --- servers that are not ours ------------------------------------------------------------------


async def test_hf_47_a_get_is_repeated_when_the_kept_connection_has_gone() -> None:
    async with scripted(OK, Cut(), OK) as (place, heads), client_of(place) as client:
        assert (await client.request("GET", "/1")).body == b"ok"
        assert (await client.request("GET", "/2")).body == b"ok"
        assert [head.split(b" ")[1] for head in heads] == [b"/1", b"/2", b"/2"]


async def test_hf_47_a_post_is_not_repeated() -> None:
    async with scripted(OK, Cut(), OK) as (place, heads), client_of(place) as client:
        assert (await client.request("GET", "/1")).body == b"ok"
        with pytest.raises(TruncatedError) as caught:
            await client.request("POST", "/2")
        assert "broke off" in one_line(caught.value)
        assert len(heads) == 2
        assert (await client.request("POST", "/3")).body == b"ok"


async def test_hf_47_a_new_connection_that_breaks_off_is_not_tried_again() -> None:
    async with scripted(Cut(), OK) as (place, heads), client_of(place) as client:
        with pytest.raises(TruncatedError):
            await client.request("GET", "/1")
        assert len(heads) == 1


async def test_hf_47_what_has_answered_is_not_asked_again() -> None:
    half = Cut(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf")
    async with scripted(OK, half, OK) as (place, heads), client_of(place) as client:
        assert (await client.request("GET", "/1")).body == b"ok"
        with pytest.raises(TruncatedError):
            await client.request("GET", "/2")
        assert len(heads) == 2


async def test_hf_47_a_kept_connection_that_was_closed_is_opened_anew() -> None:
    """Seen before anything is sent, so a POST may use the new one."""
    async with (
        HttpsServer(echo, contexts().server, HttpLimits(idle_s=0.05)) as server,
        client_of(await server.serve(LOOPBACK)) as client,
    ):
        with trio.fail_after(DEADLINE_S):
            await client.request("POST", "/")
            await until(lambda: not server.connections)
            assert (await client.request("POST", "/")).status == 200
        assert server.counters.accepted == 2


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 200 OK\nContent-Length: 0\n\n",
        b"HTTP/1.0 200 OK\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 100 Continue\r\n\r\n" + OK,
        b"HTTP/1.1 200 OK\r\n\r\nok",
        b"SSH-2.0-200\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 9999999999\r\n\r\n",
    ],
)
async def test_hf_40_41_44_what_is_no_answer_is_refused_in_one_line(answer: bytes) -> None:
    async with scripted(answer) as (place, _), client_of(place) as client:
        with pytest.raises(RefusedError) as caught:
            await client.request("GET", "/")
        assert one_line(caught.value).startswith(str(place))


async def test_hf_43_what_stands_behind_an_answer_is_not_the_next_one() -> None:
    async with scripted(OK + OK, OK) as (place, heads), client_of(place) as client:
        assert (await client.request("GET", "/1")).body == b"ok"
        assert (await client.request("GET", "/2")).body == b"ok"
        assert len(heads) == 2


async def test_hf_46_a_server_that_is_silent_is_not_waited_for() -> None:
    async with (
        scripted(None, None) as (place, _),
        client_of(place, limits=replace(PATIENT, response_s=SOON_S)) as client,
    ):
        with pytest.raises(LinkTimeoutError) as caught:
            await client.request("GET", "/")
        assert "no answer" in one_line(caught.value)
        with pytest.raises(LinkTimeoutError, match="no answer"):
            await open_stream(client)


async def test_hf_46_a_stream_that_stands_still_is_not_waited_for() -> None:
    head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n"
    async with (
        scripted(head, None) as (place, _),
        client_of(place, limits=replace(PATIENT, stall_s=SOON_S)) as client,
        client.stream("GET", "/") as stream,
    ):
        assert await anext(stream) == b"a"
        with pytest.raises(LinkTimeoutError) as caught:
            await anext(stream)
        assert "stands still" in one_line(caught.value)


async def test_hf_41_a_stream_that_breaks_off_says_so() -> None:
    head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\na"
    async with scripted(Cut(head)) as (place, _), client_of(place) as client, client.stream("GET", "/") as stream:
        assert await anext(stream) == b"a"
        with pytest.raises(TruncatedError):
            await anext(stream)


async def test_hf_46_a_body_that_comes_too_slowly_is_not_waited_for() -> None:
    head = b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf"
    limits = replace(PATIENT, body_grace_s=SOON_S)
    async with scripted(head, None) as (place, _), client_of(place, limits=limits) as client:
        with pytest.raises(LinkTimeoutError, match="too slowly"):
            await client.request("GET", "/")


async def test_hf_46_a_server_that_takes_nothing_is_not_waited_for() -> None:
    async with scripted(None) as (place, _), client_of(place, limits=replace(PATIENT, write_s=SOON_S)) as client:
        with pytest.raises(LinkTimeoutError, match="does not take"):
            await client.request("PUT", "/", bytes(50_000_000))


async def test_hf_46_a_port_without_tls_is_not_waited_for() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        place = Endpoint("127.0.0.1", listener.getsockname()[1])
        async with client_of(place, limits=replace(PATIENT, connect_s=SOON_S)) as client:
            with trio.fail_after(DEADLINE_S), pytest.raises(LinkTimeoutError, match="TLS handshake"):
                await client.request("GET", "/")


async def test_a_request_that_is_none_is_ours() -> None:
    async with HttpsServer(echo, contexts().server) as server, client_of(await server.serve(LOOPBACK)) as client:
        with pytest.raises(UsageError):
            await client.request("GET", "/ a")
        assert (await client.request("GET", "/a")).status == 200
