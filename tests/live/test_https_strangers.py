"""Our client and servers that are not ours (specs/http-front.md, HF-40 to HF-47)."""

import socket
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, suppress
from dataclasses import replace

import pytest
import trio

from nodes import Endpoint
from nodes.https import (
    ClientLimits,
    HttpLimits,
    HttpsClient,
    HttpsServer,
)
from nodes.https.sockets import where
from protocols.errors import LinkTimeoutError, TruncatedError, UsageError
from protocols.http1.refusal import RefusedError
from tests.helpers.certificates import HOST
from tests.helpers.https_ends import contexts, echo
from tests.live.kit import DEADLINE_S, LOOPBACK, one_line, until

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
PATIENT = ClientLimits()
SOON_S = 0.2


def client_of(place: Endpoint, limits: ClientLimits = PATIENT) -> HttpsClient:
    return HttpsClient(place, contexts().device, HOST, limits)


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
        client_of(place, replace(PATIENT, response_s=SOON_S)) as client,
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
        client_of(place, replace(PATIENT, stall_s=SOON_S)) as client,
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
    async with scripted(head, None) as (place, _), client_of(place, limits) as client:
        with pytest.raises(LinkTimeoutError, match="too slowly"):
            await client.request("GET", "/")


async def test_hf_46_a_server_that_takes_nothing_is_not_waited_for() -> None:
    async with scripted(None) as (place, _), client_of(place, replace(PATIENT, write_s=SOON_S)) as client:
        with pytest.raises(LinkTimeoutError, match="does not take"):
            await client.request("PUT", "/", bytes(50_000_000))


async def test_hf_46_a_port_without_tls_is_not_waited_for() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        place = Endpoint("127.0.0.1", listener.getsockname()[1])
        async with client_of(place, replace(PATIENT, connect_s=SOON_S)) as client:
            with trio.fail_after(DEADLINE_S), pytest.raises(LinkTimeoutError, match="TLS handshake"):
                await client.request("GET", "/")


async def test_a_request_that_is_none_is_ours() -> None:
    async with HttpsServer(echo, contexts().server) as server, client_of(await server.serve(LOOPBACK)) as client:
        with pytest.raises(UsageError):
            await client.request("GET", "/ a")
        assert (await client.request("GET", "/a")).status == 200
