"""The server on streams in memory and a clock that jumps (specs/http-front.md, HF-22 to HF-37)."""

import logging
import ssl
from collections.abc import AsyncIterator, Callable
from typing import cast

import pytest
import trio
from trio.testing import lockstep_stream_pair

from nodes.https import Alarm, AlarmKind, Body, HttpError, HttpLimits, Request, Response
from protocols.errors import (
    DecryptError,
    MalformedError,
    NotPairedError,
    QueueFullError,
    StorageError,
    UsageError,
)
from protocols.guards.address import ip_address
from protocols.http1.limits import MessageLimits
from tests.helpers.https_ends import Pair, Raw, contexts, desk, echo, get
from tests.live.kit import until, virtual

PUT = b"PUT /a HTTP/1.1\r\nHost: a\r\nContent-Length: 100000\r\n\r\n"
LOCKSTEP = cast("Pair", lockstep_stream_pair)
END = b"\r\n0\r\n\r\n"


def lines(answer: bytes) -> list[bytes]:
    return answer.partition(b"\r\n\r\n")[0].split(b"\r\n")


# --- requests and answers -----------------------------------------------------------------------


@virtual
async def test_hf_36_what_every_answer_says() -> None:
    async with desk(echo) as place:
        raw = await place.dial()
        await raw.say(get("/a?b"))
        assert lines(await raw.until(b"GET /a b 0\n")) == [
            b"HTTP/1.1 200 OK",
            b"Date: Tue, 14 Nov 2023 22:13:20 GMT",
            b"Content-Type: application/octet-stream",
            b"Cache-Control: no-store",
            b"X-Content-Type-Options: nosniff",
            b"Strict-Transport-Security: max-age=31536000",
            b"Content-Length: 11",
        ]
        await raw.say(get(close=True))
        assert b"Connection: close" in lines(await raw.rest())


@virtual
async def test_hf_23_pipelined_requests_are_served_in_turn() -> None:
    running = 0

    async def handler(request: Request) -> Response:
        nonlocal running
        assert running == 0
        running += 1
        await trio.sleep(1)
        running -= 1
        return Response(200, request.path.encode())

    async with desk(handler) as place:
        raw = await place.dial()
        await raw.say(get("/1") + get("/2") + get("/3", close=True))
        answers = await raw.rest()
        assert [answers.count(each) for each in (b"\r\n\r\n/1HTTP", b"\r\n\r\n/2HTTP", b"\r\n\r\n/3")] == [1, 1, 1]
        assert place.server.counters.requests == 3


@virtual
async def test_a_request_knows_whom_it_is_from() -> None:
    seen: list[Request] = []

    async def handler(request: Request) -> Response:
        seen.append(request)
        return Response(204)

    async with desk(handler) as place:
        raw = await place.dial(source="192.0.2.7")
        await raw.say(get(close=True))
        assert (await raw.rest()).startswith(b"HTTP/1.1 204 ")
    assert seen[0].peer_certificate == contexts().device_der
    assert seen[0].peer == ip_address("192.0.2.7", 1024)
    async with desk(handler, context=contexts().open_server) as place:
        raw = await place.dial(contexts().nobody)
        await raw.say(get(close=True))
        await raw.rest()
    assert seen[1].peer_certificate is None


ERRORS: dict[int, Callable[[], Exception]] = {
    400: lambda: MalformedError("secret"),
    403: lambda: NotPairedError("secret"),
    404: lambda: HttpError(404, "secret"),
    500: lambda: UsageError("secret"),
    503: lambda: StorageError("secret"),
}
MORE_ERRORS: dict[str, tuple[int, Callable[[], BaseException]]] = {
    "no-proof": (403, lambda: DecryptError("secret")),
    "no-room": (503, lambda: QueueFullError("secret")),
    "bug": (500, lambda: KeyError("secret")),
    "group": (404, lambda: ExceptionGroup("secret", [HttpError(404)])),
    **{str(status): (status, make) for status, make in ERRORS.items()},
}


@pytest.mark.parametrize("name", MORE_ERRORS)
@virtual
async def test_hf_34_an_error_of_a_handler_is_a_status(name: str, caplog: pytest.LogCaptureFixture) -> None:
    status, make = MORE_ERRORS[name]

    async def handler(request: Request) -> Response:
        if request.path == "/good":
            return Response(200)
        raise make()

    caplog.set_level(logging.WARNING)
    async with desk(handler) as place:
        raw = await place.dial()
        await raw.say(get() + get("/good", close=True))
        answers = await raw.rest()
        assert answers.startswith(f"HTTP/1.1 {status} ".encode())
        assert b"HTTP/1.1 200 OK" in answers
        assert b"secret" not in answers
        assert place.server.counters.crashed == (status == 500)
        assert len(caplog.records) == (status == 500)


@pytest.mark.parametrize(
    "response",
    [
        Response(299),
        Response(304),
        Response(200, headers={"A": "b\r\nC: d"}),
        Response(200, headers={"content-LENGTH": "7"}),
        Response(200, headers={"Server": "x"}),
    ],
)
@virtual
async def test_hf_36_an_answer_that_is_none_is_a_bug_of_ours(response: Response) -> None:
    async def handler(_: Request) -> Response:
        return response

    async with desk(handler) as place:
        raw = await place.dial()
        await raw.say(get(close=True))
        assert (await raw.rest()).startswith(b"HTTP/1.1 500 ")
        assert place.server.counters.crashed == 1


@virtual
async def test_hf_4_35_a_refused_request_gets_a_status_and_is_counted() -> None:
    alarms: list[Alarm] = []
    async with desk(echo, on_alarm=alarms.append) as place:
        raw = await place.dial()
        await raw.say(
            get("/good") + b"GET / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n" + get()
        )
        answers = await raw.rest()
        assert answers.count(b"HTTP/1.1 ") == 2
        assert answers.index(b"HTTP/1.1 200 ") < answers.index(b"HTTP/1.1 501 ")
        assert (place.server.counters.requests, place.server.counters.requests_refused) == (1, 1)
    assert alarms == [Alarm(AlarmKind.REQUEST_REFUSED, ip_address("192.0.2.1", 1024), "a transfer coding")]


@virtual
async def test_hf_35_a_flood_is_no_flood_of_alarms() -> None:
    alarms: list[Alarm] = []
    async with desk(echo, on_alarm=alarms.append) as place:
        for _ in range(40):
            raw = await place.dial()
            await raw.say(b"\n")
            await raw.until(b"\r\n\r\n")
        assert place.server.counters.requests_refused == 40
    assert 0 < len(alarms) < 40


# --- bodies -------------------------------------------------------------------------------------


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


# --- time ---------------------------------------------------------------------------------------


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


# --- streams ------------------------------------------------------------------------------------


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
