"""The TCP carrier on real sockets: every byte in order, back-pressure, and ends of all kinds."""

import errno
import socket
from collections.abc import Sequence
from contextlib import closing

import pytest
import trio
import trio.testing

from nodes.carriers import TcpCarrier, tcp
from nodes.ports import Interrupted
from protocols.link.train import Train, one
from tests.live.carriers import pattern, raw_stream, streams
from tests.live.kit import DEADLINE_S


async def read(carrier: TcpCarrier, count: int) -> bytes:
    """Receive that many bytes."""
    found = b""
    while len(found) < count:
        trains = await carrier.receive()
        assert trains
        for data, length, address in trains:
            assert length == len(data)
            assert address is None
            found += data
    return found


def carrier_socket(carrier: TcpCarrier) -> socket.socket:
    return carrier._socket  # pyright: ignore[reportPrivateUsage]


def joined(trains: Sequence[Train]) -> bytes:
    return b"".join(train.data for train in trains)


@pytest.mark.parametrize("gathers", [True, False], ids=["gathered", "one piece"])
async def test_many_parts_arrive_as_one_stream(gathers: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tcp, "_GATHERS", gathers)
    ours, theirs = await streams()
    parts = [one(pattern(1 + number % 900, number), None) for number in range(2_500)]
    with trio.fail_after(DEADLINE_S):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(ours.send, parts)
            assert await read(theirs, len(joined(parts))) == joined(parts)
        await theirs.send([one(b"back", None)])
        assert await read(ours, 4) == b"back"
    await ours.aclose()
    await theirs.aclose()


async def test_more_than_a_buffer_holds(monkeypatch: pytest.MonkeyPatch) -> None:
    """Read after read without waiting, each fair to others; then waiting again."""
    monkeypatch.setattr(tcp, "_QUIET_BYTES", 1_000)
    monkeypatch.setattr(tcp, "_RECEIVE_BYTES", 10_000)
    ours, theirs = await streams()
    thing = pattern(500_000)
    found = b""
    sizes: list[int] = []
    with trio.fail_after(DEADLINE_S):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(ours.send, [one(thing, None)])
            await trio.testing.wait_all_tasks_blocked()
            while len(found) < len(thing):
                (train,) = await theirs.receive()
                assert isinstance(train.data, memoryview)
                found += train.data
                sizes.append(len(train.data))
                train.data[:] = bytes(sizes[-1])  # it may be written into
        assert found == thing
        assert sizes[0] == 1_000
        assert max(sizes) == 10_000
        await ours.send([one(bytes(10_000), None)])
        assert await read(theirs, 10_000) == bytes(10_000)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(theirs.receive)
            await trio.testing.wait_all_tasks_blocked()
            nursery.cancel_scope.cancel()
    await ours.aclose()
    await theirs.aclose()


async def test_a_slow_reader_holds_its_sender_back() -> None:
    """With tiny buffers of the system: parts of any size, of which the system takes any piece."""
    carrier, other = await raw_stream()
    parts = [one(pattern(size, size), None) for size in (1, 50_000, 3, 100_000, 7, 7, 30_000)]
    wanted = joined(parts)
    with closing(other), trio.fail_after(DEADLINE_S):
        rest: Sequence[Train] = parts
        for _ in range(20):
            rest = carrier.send_now(rest)
            assert rest
            assert wanted.endswith(joined(rest))
        sent = trio.Event()

        async def send() -> None:
            await carrier.send(rest)
            sent.set()

        async with trio.open_nursery() as nursery:
            nursery.start_soon(send)
            await trio.testing.wait_all_tasks_blocked()
            assert not sent.is_set()
            carrier.interrupt()  # meant for a receiver
            other.setblocking(False)
            found = b""
            while len(found) < len(wanted):
                await trio.lowlevel.wait_readable(other)
                found += other.recv(1_000)
            await sent.wait()
        assert found == wanted
    await carrier.aclose()


async def test_who_closes_has_its_last_words_read() -> None:
    """What is unread at the closing end must not turn them into a reset."""
    carrier, other = await raw_stream()
    with closing(other), trio.fail_after(DEADLINE_S):
        other.send(b"never read")
        await trio.lowlevel.wait_readable(carrier_socket(carrier))
        await carrier.send([one(b"goodbye", None)])
        await carrier.aclose()
        assert other.recv(100) == b"goodbye"
        assert other.recv(100) == b""


async def test_the_end_is_seen_after_the_last_byte_and_ever_after() -> None:
    ours, theirs = await streams()
    with trio.fail_after(DEADLINE_S):
        await ours.send([one(b"last", None)])
        await ours.aclose()
        assert await read(theirs, 4) == b"last"
        for _ in range(2):
            assert await theirs.receive() == ()
    await theirs.aclose()


@pytest.mark.parametrize("sends", [True, False])
async def test_a_reset_shows_in_receive_and_sending_goes_nowhere(sends: bool) -> None:
    carrier, other = await raw_stream()
    other.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
    other.close()
    thing = [one(bytes(100_000), None)]
    with trio.fail_after(DEADLINE_S):
        if sends:
            await carrier.send(thing)
        assert await carrier.receive() == ()
        assert carrier.send_now(thing) == ()
    await carrier.aclose()


async def test_a_stream_that_breaks_while_it_sends_shows_in_receive() -> None:
    class Failing(socket.socket):
        def sendmsg(self, *_: object) -> int:
            raise OSError(errno.ENOBUFS, "scripted")

    listener = socket.create_server(("127.0.0.1", 0))
    sock = Failing()
    sock.connect(listener.getsockname())
    other, _ = listener.accept()
    carrier = TcpCarrier(sock)
    with closing(listener), closing(other), trio.fail_after(DEADLINE_S):
        async with trio.open_nursery() as nursery:

            async def receive() -> None:
                assert await carrier.receive() == ()

            nursery.start_soon(receive)
            await trio.testing.wait_all_tasks_blocked()
            assert carrier.send_now([one(b"x", None)]) == ()
    await carrier.aclose()


async def test_closing_ends_who_waits_and_loses_what_comes_after() -> None:
    carrier, other = await raw_stream()
    thing = [one(bytes(1_000_000), None)]

    async def send() -> None:
        with pytest.raises(trio.ClosedResourceError):
            await carrier.send(thing)

    async def receive() -> None:
        with pytest.raises(trio.ClosedResourceError):
            await carrier.receive()

    with closing(other), trio.fail_after(DEADLINE_S):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(send)
            nursery.start_soon(receive)
            await trio.testing.wait_all_tasks_blocked()
            await carrier.aclose()
        await send()
        await receive()
        assert carrier.send_now(thing) == ()
        carrier.interrupt()
        await carrier.aclose()


async def test_an_interrupt_ends_a_receive_and_nothing_else() -> None:
    ours, theirs = await streams()

    async def receive() -> None:
        with pytest.raises(Interrupted):
            await ours.receive()

    with trio.fail_after(DEADLINE_S):
        ours.interrupt()  # nobody waits: it is not remembered
        async with trio.open_nursery() as nursery:
            nursery.start_soon(receive)
            await trio.testing.wait_all_tasks_blocked()
            ours.interrupt()
        await theirs.send([one(b"x", None)])
        assert await read(ours, 1) == b"x"
    await ours.aclose()
    await theirs.aclose()
