"""Many that want nothing good: 1,000 slow connections and 200 half-sent bodies (HF-30, HF-31)."""

import resource
from pathlib import Path

import trio

from nodes import Endpoint
from nodes.https import HttpLimits, HttpsClient, HttpsServer, Request, Response
from nodes.https.sockets import connect
from nodes.https.tls import TlsStream
from tests.conftest import require_or_skip
from tests.helpers.certificates import HOST
from tests.helpers.https_ends import contexts, get
from tests.live.kit import DEADLINE_S, LOOPBACK

SILENT, BABBLING, HEADS, BODIES = 500, 300, 200, 200
PLACES = 600
FILES = 2 * (SILENT + BABBLING + HEADS + BODIES) + 200
MEMORY_BYTES = 150_000_000
"""For both ends of all of it, which live in one process here: 120 kB for each connection."""


def resident_bytes() -> int:
    file = Path("/proc/self/statm")
    if file.exists():
        return int(file.read_text().split()[1]) * resource.getpagesize()
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1_024


def make_room_for_files() -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < FILES:
        if hard < FILES:
            require_or_skip(f"{FILES} open files are needed")
        resource.setrlimit(resource.RLIMIT_NOFILE, (FILES, hard))


async def handler(request: Request) -> Response:
    return Response(200, f"{len(await request.body.read(1_000_000))}".encode())


async def served(where: Endpoint) -> None:
    """A good client, which comes anew."""
    with trio.fail_after(DEADLINE_S):
        async with HttpsClient(where, contexts().device, HOST) as client:
            answer = await client.request("PUT", "/", bytes(100_000))
    assert (answer.status, answer.body) == (200, b"100000")


async def half(where: Endpoint, crowd: list[trio.SocketStream], words: bytes) -> None:
    """Do the handshake, say something, and stay."""
    stream = await connect(where, DEADLINE_S)
    crowd.append(stream)
    tls = TlsStream(stream, contexts().device, server_hostname=HOST)
    await tls.handshake()
    await tls.send(words)


async def test_hf_30_31_a_good_client_is_served_in_a_crowd() -> None:
    make_room_for_files()
    limits = HttpLimits(
        connections=PLACES,
        connections_per_source=PLACES,
        handshakes=PLACES // 2,
        new_per_source_at_once=FILES,  # the crowd has one address here
    )
    crowd: list[trio.SocketStream] = []
    hello = b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"  # a ClientHello that has 500 bytes still to come
    body = b"PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: 500000\r\n\r\n" + bytes(10_000)
    async with HttpsServer(handler, contexts().server, limits) as server:
        where = await server.serve(LOOPBACK)
        await served(where)
        before = resident_bytes()
        for number in range(SILENT + BABBLING):
            stream = await connect(where, DEADLINE_S)
            crowd.append(stream)
            if number >= SILENT:
                await stream.send_all(hello)
            assert server.connections <= PLACES
        await served(where)
        for words in [get()[:-2]] * HEADS + [body] * BODIES:
            await half(where, crowd, words)
        assert server.connections == PLACES
        assert server.counters.handshakes >= HEADS + BODIES
        for _ in range(20):
            await served(where)
        assert resident_bytes() - before < MEMORY_BYTES
        assert server.counters.evicted >= len(crowd) - PLACES
        assert server.counters.crashed == 0
        for stream in crowd:
            await trio.aclose_forcefully(stream)
        await served(where)


async def test_hf_30_one_source_takes_no_places_of_others() -> None:
    """Half-sent bodies from one address, more than it may have; a client from another address keeps its connection."""
    limits = HttpLimits(connections=40, connections_per_source=20)
    crowd: list[trio.SocketStream] = []
    async with HttpsServer(handler, contexts().server, limits) as server:
        where = await server.serve(LOOPBACK)
        sock = trio.socket.socket()
        await sock.bind(("127.0.0.2", 0))
        await sock.connect((where.host, where.port))
        other = trio.SocketStream(sock)
        tls = TlsStream(other, contexts().device, server_hostname=HOST)
        await tls.handshake()
        for _ in range(60):
            await half(where, crowd, b"PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\n1234")
        assert server.connections <= 21
        with trio.fail_after(DEADLINE_S):
            await tls.send(get())
            assert (await tls.receive(1_000)).startswith(b"HTTP/1.1 200 ")
        for stream in (*crowd, other):
            await trio.aclose_forcefully(stream)
