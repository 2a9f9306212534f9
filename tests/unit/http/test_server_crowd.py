"""Streams, many connections, and the end of a server (specs/http-front.md, HF-31 to HF-37)."""

import ssl
from collections.abc import AsyncIterator

import pytest
import trio

from nodes.https import Alarm, AlarmKind, HttpLimits, Request, Response
from nodes.https.door import Door
from protocols.errors import StorageError, TruncatedError
from protocols.guards.address import ip_address
from protocols.guards.ratelimit import MAX_SOURCES
from tests.helpers.https_ends import END, PUT, Desk, Raw, contexts, desk, echo, get
from tests.live.kit import virtual


class Ticks:
    """Pieces without an end, and whether they have been closed."""

    def __init__(self) -> None:
        self.closed = trio.Event()

    async def pieces(self) -> AsyncIterator[bytes]:
        number = 0
        try:
            while True:
                yield f"tick {number}\n".encode()
                number += 1
                await trio.sleep(1)
        finally:
            self.closed.set()

    async def handler(self, request: Request) -> Response:
        if request.path == "/few":
            return Response(200, few())
        if request.path == "/broken":
            return Response(200, broken())
        return Response(200, self.pieces())


async def few() -> AsyncIterator[bytes]:
    for piece in (b"a", b"", b"b"):
        yield piece


async def broken() -> AsyncIterator[bytes]:
    yield b"a"
    raise KeyError("secret")


@virtual
async def test_hf_36_a_stream_comes_piece_by_piece() -> None:
    async with desk(Ticks().handler) as place:
        raw = await place.dial()
        await raw.say(get("/few"))
        answer = await raw.until(END)
        assert answer.endswith(b"\r\n\r\n1\r\na\r\n1\r\nb" + END)
        await raw.say(get("/few", close=True))  # the connection is of use again
        assert (await raw.rest()).endswith(END)


@pytest.mark.parametrize("word", [b"", b"x"])
@virtual
async def test_hf_33_a_stream_ends_when_the_peer_goes_away_or_says_something(word: bytes) -> None:
    ticks = Ticks()
    async with desk(ticks.handler) as place:
        raw = await place.dial()
        await raw.say(get())
        await raw.until(b"tick 2\n")
        if word:
            await raw.say(word)
        else:
            await raw.tls.abort()
        await ticks.closed.wait()
        await trio.testing.wait_all_tasks_blocked()
        assert place.server.connections == 0


@virtual
async def test_hf_33_37_a_stream_ends_cleanly_when_the_server_closes() -> None:
    ticks = Ticks()
    async with trio.open_nursery() as nursery:
        async with desk(ticks.handler) as place:
            raw = await place.dial()
            await raw.say(get())
            await raw.until(b"tick 0\n")
            rest: list[bytes] = []

            async def listen() -> None:
                rest.append(await raw.rest())

            nursery.start_soon(listen)
        await ticks.closed.wait()
    assert rest[0].endswith(END)


@virtual
async def test_hf_34_a_stream_that_fails_breaks_off() -> None:
    async with desk(Ticks().handler) as place:
        raw = await place.dial()
        await raw.say(get("/broken"))
        answer = await raw.rest()
        assert answer.endswith(b"1\r\na\r\n")
        assert b"secret" not in answer
        assert place.server.counters.crashed == 1


@virtual
async def test_a_stream_without_aclose_is_one_too() -> None:
    class Numbers:
        def __init__(self) -> None:
            self.left = 2

        def __aiter__(self) -> "Numbers":
            return self

        async def __anext__(self) -> bytes:
            await trio.lowlevel.checkpoint()
            self.left -= 1
            if self.left < 0:
                raise StopAsyncIteration
            return b"n"

    async def handler(_: Request) -> Response:
        return Response(200, Numbers())

    async with desk(handler) as place:
        raw = await place.dial()
        await raw.say(get(close=True))
        assert (await raw.rest()).endswith(b"1\r\nn\r\n1\r\nn" + END)


# --- many, and the end --------------------------------------------------------------------------


@virtual
async def test_hf_31_a_good_client_is_served_when_all_places_are_taken() -> None:
    alarms: list[Alarm] = []
    limits = HttpLimits(connections=20, connections_per_source=20, handshakes=10)
    async with desk(echo, limits, on_alarm=alarms.append) as place:
        for number in range(50):
            place.plug(ip_address(f"198.51.100.{number}", 1))
            await trio.testing.wait_all_tasks_blocked()
        assert place.server.connections <= 10
        for number in range(30):
            raw = await place.dial(source=f"203.0.113.{number}")
            await raw.say(PUT + b"half")
        assert place.server.connections <= 20
        good = await place.dial()
        await good.say(get("/good", close=True))
        assert b"GET /good" in await good.rest()
        assert place.server.counters.evicted > 0
    assert {each.kind for each in alarms} == {AlarmKind.CROWDED}


HASTE = HttpLimits(new_per_source_per_s=1, new_per_source_at_once=3, new_per_s=2, new_at_once=6)


async def is_let_in(place: Desk, source: str, context: ssl.SSLContext | None = None) -> bool:
    """Whether a handshake goes through from there."""
    try:
        await place.dial(context, source)
    except TruncatedError:
        return False
    return True


@virtual
async def test_hf_39_one_source_comes_so_fast_and_others_are_not_kept_out() -> None:
    alarms: list[Alarm] = []
    async with desk(echo, HASTE, on_alarm=alarms.append) as place:
        assert [await is_let_in(place, "192.0.2.1") for _ in range(30)] == [True] * 3 + [False] * 27
        counters = place.server.counters
        assert (counters.turned_away, counters.accepted, counters.handshakes) == (27, 3, 3)
        assert counters.handshakes_refused == 0
        assert {each.kind for each in alarms} == {AlarmKind.HASTY}
        assert len(alarms) <= 20
        assert await is_let_in(place, "192.0.2.2")  # it took nothing of what is for all
        await trio.sleep(2)
        assert [await is_let_in(place, "192.0.2.1") for _ in range(3)] == [True, True, False]


@virtual
async def test_hf_39_all_strangers_together_come_so_fast_and_keep_no_known_source_out() -> None:
    strangers = [f"198.51.100.{number}" for number in range(1, 21)]
    async with desk(echo, HASTE) as place:
        assert await is_let_in(place, "192.0.2.1")
        for stranger in strangers:
            place.plug(ip_address(stranger, 1))
        await trio.testing.wait_all_tasks_blocked()
        assert place.server.counters.turned_away == len(strangers) - 5
        assert not await is_let_in(place, "192.0.2.2")
        assert [await is_let_in(place, "192.0.2.1") for _ in range(3)] == [True, True, False]
        await trio.sleep(1)
        assert await is_let_in(place, "192.0.2.2")


@virtual
async def test_hf_39_without_a_certificate_nobody_is_known() -> None:
    async with desk(echo, HASTE, context=contexts().open_server) as place:
        sources = [f"192.0.2.{number}" for number in (1, 2, 3)] * 3
        came = [await is_let_in(place, source, contexts().nobody) for source in sources]
        assert came == [True] * 6 + [False] * 3


def test_hf_39_known_sources_are_so_many() -> None:
    door = Door(HttpLimits(new_per_s=1e-9, new_at_once=1))
    assert door.lets_in(b"stranger", 0.0)
    door.know(b"first")
    for number in range(MAX_SOURCES - 1):
        door.know(number.to_bytes(4, "big"))
    assert door.lets_in(b"first", 0.0)
    door.know(b"one more")
    assert not door.lets_in(b"first", 0.0)
    assert door.lets_in(b"one more", 0.0)


@virtual
async def test_hf_32_nobody_who_is_served_has_to_go() -> None:
    async def handler(_: Request) -> Response:
        await trio.sleep(5)
        return Response(200)

    async with desk(handler, HttpLimits(connections=1)) as place:
        raw = await place.dial()
        await raw.say(get(close=True))
        await trio.testing.wait_all_tasks_blocked()
        late = place.plug(ip_address("192.0.2.9", 1))
        assert await late.receive_some(1) == b""
        assert (await raw.rest()).startswith(b"HTTP/1.1 200 ")


@virtual
async def test_hf_37_a_server_that_closes_lets_requests_end() -> None:
    answers: list[bytes] = []

    async def handler(request: Request) -> Response:
        await trio.sleep(2 if request.path == "/short" else 100)
        return Response(200)

    async def listen(raw: Raw) -> None:
        answers.append(await raw.rest())

    async with trio.open_nursery() as nursery:
        async with desk(handler) as place:
            idle = await place.dial()
            place.plug(ip_address("192.0.2.9", 1))
            for path in ("/short", "/long"):
                raw = await place.dial()
                await raw.say(get(path))

                nursery.start_soon(listen, raw)
            await trio.testing.wait_all_tasks_blocked()
            began = trio.current_time()
        assert trio.current_time() - began == pytest.approx(5, abs=1)
        assert await idle.rest() == b""
    assert sorted(each[:12] for each in answers) == [b"", b"HTTP/1.1 200"]


@virtual
async def test_hf_34_a_context_that_cannot_be_made_ends_no_server() -> None:
    """The context is asked for anew for each connection, so that certificates and revocations may change."""
    answers: list[ssl.SSLContext | None] = [None, contexts().server]

    def context() -> ssl.SSLContext:
        found = answers.pop(0)
        if found is None:
            raise StorageError("no key")
        return found

    async with desk(echo, context=context) as place:
        stream = place.plug(ip_address("192.0.2.1", 1))
        assert await stream.receive_some(1) == b""
        raw = await place.dial()
        await raw.say(get(close=True))
        assert (await raw.rest()).startswith(b"HTTP/1.1 200 ")
