"""The server on streams in memory and a clock that jumps (specs/http-front.md, HF-22 to HF-37)."""

import logging
from collections.abc import Callable

import pytest
import trio

from nodes.https import Alarm, AlarmKind, HttpError, Request, Response
from protocols.errors import (
    DecryptError,
    MalformedError,
    NotPairedError,
    QueueFullError,
    StorageError,
    UsageError,
)
from protocols.guards.address import ip_address
from tests.helpers.https_ends import contexts, desk, echo, get, lines
from tests.live.kit import virtual

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
