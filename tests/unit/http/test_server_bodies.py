"""Bodies of requests, and how long anybody may take (specs/http-front.md, HF-14, HF-21 to HF-27, HF-38)."""

from collections.abc import AsyncIterator

import pytest
import trio

from nodes.https import Alarm, AlarmKind, Body, HttpError, HttpLimits, Request, Response
from protocols.errors import (
    UsageError,
)
from protocols.guards.address import ip_address
from protocols.http1.limits import MessageLimits
from tests.helpers.https_ends import LOCKSTEP, PUT, desk, echo, get, lines
from tests.live.kit import until, virtual


@virtual
async def test_hf_22_a_body_that_nobody_reads_is_not_received() -> None:
    """Over streams that take a byte only when it is asked for: most of the body stays with the peer."""
    go_on, sent = trio.Event(), 0

    async def handler(request: Request) -> Response:
        async for _ in request.body:
            await go_on.wait()
        return Response(200)

    async with desk(handler, pair=LOCKSTEP) as place, trio.open_nursery() as nursery:
        raw = await place.dial()

        async def push() -> None:
            nonlocal sent
            await raw.say(b"PUT /a HTTP/1.1\r\nHost: a\r\nContent-Length: 2000000\r\n\r\n")
            for _ in range(200):
                await raw.say(bytes(10_000))
                sent += 10_000

        nursery.start_soon(push)
        await trio.sleep(1_000)
        assert sent <= 100_000
        go_on.set()
        assert (await raw.until(b"\r\n\r\n")).startswith(b"HTTP/1.1 200 ")
        assert sent == 2_000_000


@virtual
async def test_hf_38_who_keeps_a_body_back_goes_when_memory_is_used_up() -> None:
    alarms: list[Alarm] = []
    async with desk(echo, HttpLimits(bodies_bytes=100_000), on_alarm=alarms.append) as place:
        raws = [await place.dial() for _ in range(5)]
        for raw in raws[:4]:
            await raw.say(PUT + bytes(30_000))
            await trio.sleep(0.1)
        assert await raws[0].rest() == b""  # it has waited for longest
        assert place.server.connections == 4
        await raws[3].say(bytes(70_000))
        assert (await raws[3].until(b"100000\n")).startswith(b"HTTP/1.1 200 ")
        await raws[3].say(PUT + bytes(100_000))  # all others go, one after the other
        assert (await raws[3].until(b"100000\n")).startswith(b"HTTP/1.1 200 ")
        assert place.server.connections == 2
        assert {each.kind for each in alarms} == {AlarmKind.CROWDED}
        assert place.server.counters.evicted == 3


@virtual
async def test_hf_38_one_body_alone_may_not_use_up_the_memory() -> None:
    async with desk(echo, HttpLimits(bodies_bytes=50_000)) as place:
        raw = await place.dial()
        await raw.say(PUT + bytes(100_000))
        assert (await raw.until(b"\r\n\r\n")).startswith(b"HTTP/1.1 503 ")
        good = await place.dial()
        await good.say(PUT.replace(b"100000", b"40000") + bytes(40_000))
        assert (await good.until(b"40000\n")).startswith(b"HTTP/1.1 200 ")


@virtual
async def test_hf_21_a_handler_may_allow_less() -> None:
    async def handler(request: Request) -> Response:
        return Response(200, await request.body.read(3))

    async with desk(handler, HttpLimits(message=MessageLimits(body_bytes=5))) as place:
        for length, status in ((3, 200), (4, 413), (6, 413)):
            raw = await place.dial()
            await raw.say(f"PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: {length}\r\n\r\n".encode())
            await raw.say(b"abcdef"[:length])
            assert (await raw.until(b"\r\n\r\n")).startswith(f"HTTP/1.1 {status} ".encode())


@virtual
async def test_hf_14_a_body_is_asked_for_when_somebody_wants_it() -> None:
    async def handler(request: Request) -> Response:
        if request.path == "/no":
            raise HttpError(404)
        return Response(200, await request.body.read(5))

    asking = b"PUT /%b HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n"
    async with desk(handler) as place:
        raw = await place.dial()
        for _ in range(2):
            await raw.say(asking % b"yes")
            assert await raw.until(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
            await raw.say(b"hello")
            assert (await raw.until(b"\r\n\r\nhello")).startswith(b"HTTP/1.1 200 ")
        await raw.say(asking % b"yes" + b"hello")  # it has not waited
        assert (await raw.until(b"\r\n\r\nhello")).startswith(b"HTTP/1.1 200 ")
        await raw.say(asking % b"no")
        answer = await raw.rest()
        assert answer.startswith(b"HTTP/1.1 404 ")
        assert b"Connection: close" in lines(answer)


async def test_a_body_made_for_a_test_is_read_like_any() -> None:
    assert await Body.of(b"abc").read(3) == b"abc"
    assert await Body.of(b"").read(0) == b""
    assert [each async for each in Body.of(b"abc")] == [b"abc"]
    with pytest.raises(HttpError):
        await Body.of(b"abc").read(2)


@virtual
async def test_what_is_left_of_a_body_is_no_request() -> None:
    """HF-18: the handler has not read it; what is here is passed over, what is not ends the connection."""

    async def handler(_: Request) -> Response:
        return Response(200)

    body = get("/smuggled")
    whole = b"PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n" % len(body)
    async with desk(handler) as place:
        raw = await place.dial()
        await raw.say(whole + body + get("/next", close=True))
        assert (await raw.rest()).count(b"HTTP/1.1 200 OK") == 2
        raw = await place.dial()
        await raw.say(whole + body[:-1])
        answer = await raw.until(b"\r\n\r\n")
        assert b"Connection: close" in lines(answer)
        await raw.say(body[-1:] + get("/next"))
        assert await raw.rest() == b""
        assert place.server.counters.requests == 3


@virtual
async def test_hf_4_a_body_that_breaks_off_reaches_the_handler_as_an_error() -> None:
    ends: list[str] = []

    async def handler(request: Request) -> Response:
        try:
            await request.body.read(200_000)
        except Exception as error:
            ends.append(type(error).__name__)
            raise
        return Response(200)

    async with desk(handler) as place:
        raw = await place.dial()
        await raw.say(PUT + b"abc")
        await raw.tls.aclose()
        await trio.testing.wait_all_tasks_blocked()
        assert ends == ["TruncatedError"]
        assert place.server.connections == 0


@virtual
async def test_a_body_is_read_before_the_answer_or_never() -> None:
    kept: list[Request] = []

    async def handler(request: Request) -> Response:
        kept.append(request)
        return Response(200)

    async with desk(handler) as place:
        raw = await place.dial()
        await raw.say(PUT)
        await raw.until(b"\r\n\r\n")
        with pytest.raises(UsageError):
            await kept[0].body.read(200_000)


@virtual
async def test_hf_24_a_handshake_that_does_not_come_is_not_waited_for() -> None:
    async with desk(echo) as place:
        began = trio.current_time()
        stream = place.plug(ip_address("192.0.2.1", 1))
        assert await stream.receive_some(1) == b""
        assert trio.current_time() - began == pytest.approx(10)
        await until(lambda: not place.server.connections)
        assert place.server.counters.timed_out == 1


@virtual
async def test_hf_25_a_slow_head_is_not_waited_for() -> None:
    async with desk(echo) as place:
        raw, began = await place.dial(), trio.current_time()
        for byte in get()[:9]:
            await raw.say(bytes((byte,)))
            await trio.sleep(1)
        assert (await raw.rest()).startswith(b"HTTP/1.1 408 ")
        assert trio.current_time() - began < 15
        assert place.server.counters.timed_out == 1


@virtual
async def test_hf_25_a_second_slow_head_is_not_waited_for() -> None:
    async with desk(echo) as place:
        raw = await place.dial()
        await raw.say(get())
        await raw.until(b"GET /  0\n")
        await trio.sleep(60)
        began = trio.current_time()
        await raw.say(b"G")
        assert (await raw.rest()).startswith(b"HTTP/1.1 408 ")
        assert trio.current_time() - began < 15


@virtual
async def test_hf_25_an_idle_connection_is_closed() -> None:
    async with desk(echo) as place:
        raw = await place.dial()
        await raw.say(get())
        await raw.until(b"GET /  0\n")
        began = trio.current_time()
        assert await raw.rest() == b""
        assert trio.current_time() - began == pytest.approx(75)
        assert place.server.counters.timed_out == 0
        silent, began = await place.dial(), trio.current_time()
        assert await silent.rest() == b""
        assert trio.current_time() - began == pytest.approx(10)


@pytest.mark.parametrize(("pause_s", "status"), [(2.0, 200), (20.0, 408)])
@virtual
async def test_hf_26_a_body_may_be_slow_but_not_too_slow(pause_s: float, status: int) -> None:
    """Pieces of 5,000 bytes, which are worth almost 5 s each."""
    async with desk(echo) as place:
        raw = await place.dial()
        await raw.say(PUT)
        answer = b""
        for _ in range(20):
            await raw.say(bytes(5_000))
            with trio.move_on_after(pause_s):
                answer = await raw.until(b"\r\n\r\n")
                break
        assert answer.startswith(f"HTTP/1.1 {status} ".encode())


@virtual
async def test_hf_26_time_in_which_nobody_reads_does_not_count() -> None:
    async def handler(request: Request) -> Response:
        length = 0
        async for piece in request.body:
            length += len(piece)
            await trio.sleep(60)
        return Response(200, str(length).encode())

    async with desk(handler) as place:
        raw = await place.dial()
        await raw.say(PUT + bytes(100_000))
        assert await raw.until(b"100000")


@pytest.mark.parametrize("whole", [True, False])
@virtual
async def test_hf_27_who_takes_no_answer_gets_no_more(whole: bool) -> None:
    async def pieces() -> AsyncIterator[bytes]:
        while True:
            yield bytes(100_000)

    async def handler(_: Request) -> Response:
        return Response(200, bytes(1_000_000) if whole else pieces())

    async with desk(handler, pair=LOCKSTEP) as place:
        raw = await place.dial()
        await raw.say(get())
        await raw.until(b"\r\n\r\n")
        began = trio.current_time()
        await until(lambda: not place.server.connections)
        assert 15 < trio.current_time() - began < 30
        assert place.server.counters.timed_out == 1
