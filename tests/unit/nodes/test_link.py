"""The link handle: who reads little loses little, who waits is told, and nothing is lost to a cancelled receive."""

from collections.abc import AsyncIterator, Awaitable, Callable

import pytest
import trio
import trio.testing

from nodes import IncomingObject, Link, LinkClosedError
from nodes.inbox import MAX_COMMANDS, MAX_STREAM_BYTES, Inbox
from nodes.ports import CarrierName
from nodes.testing import MemoryNetwork
from protocols.errors import LinkTimeoutError, QueueFullError, UsageError
from protocols.events import (
    BulkOffered,
    BulkStatus,
    CommandReceived,
    ControlReceived,
    DownReason,
    SendCommand,
    SendControl,
    SendState,
    SendStream,
    StateReceived,
    StreamReceived,
)
from specs.registry import ChannelId, CloseCode, Role
from tests.live.kit import CARRIERS, Scene, echo, linked, virtual

BIG = bytes(range(256)) * 8_192


def memory() -> MemoryNetwork:
    return MemoryNetwork(delay_s=0.001)


# --- the inbox ----------------------------------------------------------------------------------


def test_each_class_keeps_its_rule() -> None:
    inbox: Inbox[str] = Inbox()
    assert inbox.take(0.0) is None
    for number in (1, 2):
        inbox.put(StreamReceived(ChannelId.VIDEO, number, b"picture"))
        inbox.put(StateReceived(ChannelId.TELEMETRY, 7, bytes([number])))
        inbox.put(CommandReceived(ChannelId.COMMAND, number, b""))
        inbox.put(ControlReceived(ChannelId.CONTROL, bytes([number]), 0.0, 1.0))
    inbox.put("an offer")
    assert len(inbox) == 7
    assert inbox.dropped == 2
    taken = [inbox.take(1.0) for _ in range(7)]
    assert not inbox
    assert taken == [
        ControlReceived(ChannelId.CONTROL, b"\2", 0.0, 1.0),
        CommandReceived(ChannelId.COMMAND, 1, b""),
        CommandReceived(ChannelId.COMMAND, 2, b""),
        "an offer",
        StateReceived(ChannelId.TELEMETRY, 7, b"\2"),
        StreamReceived(ChannelId.VIDEO, 1, b"picture"),
        StreamReceived(ChannelId.VIDEO, 2, b"picture"),
    ]


def test_the_oldest_of_a_stream_goes_and_commands_stay() -> None:
    inbox: Inbox[str] = Inbox()
    for number in range(6):
        inbox.put(StreamReceived(ChannelId.VIDEO, number, bytes(1_000_000)))
    assert len(inbox) * 1_000_000 < MAX_STREAM_BYTES
    assert inbox.dropped == 2
    assert isinstance(first := inbox.take(0.0), StreamReceived)
    assert first.sequence == 2
    for number in range(MAX_COMMANDS):
        assert not inbox.is_full
        inbox.put(CommandReceived(ChannelId.COMMAND, number, b""))
    assert inbox.is_full
    inbox.remove("an offer")
    inbox.put("an offer")
    inbox.remove("an offer")
    assert len(inbox) == MAX_COMMANDS + 3


def test_ch_14_control_that_waited_too_long_is_not_handed_out() -> None:
    inbox: Inbox[str] = Inbox()
    inbox.put(ControlReceived(ChannelId.CONTROL, b"sticks", 0.0, expires_s=5.0))
    inbox.put(CommandReceived(ChannelId.COMMAND, 1, b""))
    assert isinstance(inbox.take(5.1), CommandReceived)
    assert (len(inbox), inbox.stale, inbox.dropped) == (0, 1, 0)


# --- reading ------------------------------------------------------------------------------------


@pytest.mark.bare
@virtual
async def test_who_reads_nothing_still_gets_answers_and_objects() -> None:
    async with linked("tcp", network=memory()) as scene, trio.open_nursery() as nursery:
        nursery.start_soon(echo, scene.up)

        async def talk() -> None:
            for number in range(3_000):
                scene.up.send_now(SendState(ChannelId.TELEMETRY, number % 5, number.to_bytes(2, "big")))
                scene.up.send_now(SendStream(ChannelId.VIDEO, bytes(100)))
                await trio.sleep(0.001)

        nursery.start_soon(talk)
        await trio.sleep(2.5)
        assert await scene.down.request(b"are you there?") == b"are you there?"
        offered = trio.Event()

        async def offer() -> None:
            offered.set()
            assert await scene.up.send_object("log", BIG) is BulkStatus.OK

        nursery.start_soon(offer)
        await trio.sleep(1)
        states: list[StateReceived] = []
        while True:
            message = await scene.down.receive()
            if isinstance(message, IncomingObject):
                break
            if isinstance(message, StateReceived):
                states.append(message)
        assert await message.read_all(len(BIG)) == BIG
        assert message.received_bytes == len(BIG)
        assert len(states) <= 5  # newest wins, for a reader who is late as well
        assert scene.down.dropped > 0
        nursery.cancel_scope.cancel()


@virtual
async def test_a_cancelled_receive_loses_nothing() -> None:
    async with linked(network=memory()) as scene:
        scene.down.send_now(SendCommand(ChannelId.COMMAND, b"take off"))
        await trio.sleep(1)
        with trio.CancelScope() as scope:
            scope.cancel()
            await scene.up.receive()
        with trio.fail_after(1):
            message = await scene.up.receive()
        assert isinstance(message, CommandReceived)


@virtual
async def test_two_readers_share_and_both_are_told_of_the_end() -> None:
    async with linked(network=memory()) as scene:
        taken: list[bytes] = []

        async def read() -> None:
            async for message in scene.up:
                assert isinstance(message, CommandReceived)
                taken.append(message.data)
                await trio.sleep(0.5)  # while the other takes what came with it

        async with trio.open_nursery() as nursery:
            nursery.start_soon(read)
            nursery.start_soon(read)
            await trio.testing.wait_all_tasks_blocked(0.0001)
            for data in (b"one", b"two", b"three", b"four"):
                scene.down.send_now(SendCommand(ChannelId.COMMAND, data))
            await trio.sleep(5)
            await scene.down.close()
        assert sorted(taken) == [b"four", b"one", b"three", b"two"]


@virtual
async def test_what_arrived_before_the_end_can_be_read_after_it() -> None:
    async with linked(network=memory()) as scene:
        for number in range(3):
            scene.down.send_now(SendCommand(ChannelId.COMMAND, bytes([number])))
        await trio.sleep(1)
        await scene.down.close()
        assert (await scene.up.wait_down()).reason is DownReason.PEER_CLOSED
        read = [message.data async for message in scene.up if isinstance(message, CommandReceived)]
        assert read == [b"\0", b"\1", b"\2"]
        with pytest.raises(LinkClosedError, match="closed by the peer"):
            await scene.up.receive()
        assert "(down)" in repr(scene.up)


@pytest.mark.bare
@virtual
async def test_many_commands_slow_their_sender_and_none_is_lost() -> None:
    async with linked(network=memory()) as scene, trio.open_nursery() as nursery:
        count = 4_000

        async def say() -> None:
            for number in range(count):
                await scene.down.send(SendCommand(ChannelId.COMMAND, number.to_bytes(2, "big") + bytes(1_000)))

        nursery.start_soon(say)
        await trio.sleep(5)
        with pytest.raises(QueueFullError):
            scene.down.send_now(SendCommand(ChannelId.COMMAND, bytes(60_000)))
        for number in range(count):
            message = await scene.up.receive()
            assert isinstance(message, CommandReceived)
            assert int.from_bytes(message.data[:2], "big") == number


@virtual
async def test_control_is_the_newest() -> None:
    async with linked(network=memory()) as scene:
        for number in range(10):
            scene.down.send_now(SendControl(ChannelId.CONTROL, bytes([number]), lifetime_s=60.0))
            await trio.sleep(0.02)
        message = await scene.up.receive()
        assert isinstance(message, ControlReceived)
        assert message.data == b"\x09"


@virtual
async def test_ch_14_sticks_that_nobody_took_in_time_are_gone() -> None:
    async with linked(network=memory()) as scene:
        scene.down.send_now(SendControl(ChannelId.CONTROL, b"old", lifetime_s=0.3))
        await trio.sleep(0.4)
        with trio.move_on_after(1) as scope:
            await scene.up.receive()
        assert scope.cancelled_caught
        assert (scene.up.stale, scene.up.dropped) == (1, 0)
        scene.down.send_now(SendControl(ChannelId.CONTROL, b"new", lifetime_s=0.3))
        message = await scene.up.receive()
        assert isinstance(message, ControlReceived)
        assert message.data == b"new"
        assert scene.up.control_stale_since is None


@virtual
async def test_ch_5_commands_that_nobody_takes_do_not_hold_back_control() -> None:
    async with linked(network=memory()) as scene, trio.open_nursery() as nursery:

        async def say() -> None:
            for _ in range(4_000):
                await scene.down.send(SendCommand(ChannelId.COMMAND, bytes(1_000)))

        nursery.start_soon(say)
        await trio.sleep(5)
        scene.down.send_now(SendControl(ChannelId.CONTROL, b"sticks"))
        await trio.sleep(0.1)
        message = await scene.up.receive()
        assert isinstance(message, ControlReceived)
        nursery.cancel_scope.cancel()


# --- requests -----------------------------------------------------------------------------------


@virtual
async def test_requests_run_side_by_side_and_find_their_answers() -> None:
    async with linked(network=memory()) as scene, trio.open_nursery() as outer:
        outer.start_soon(echo, scene.up)
        answers: dict[int, bytes] = {}

        async def ask(number: int) -> None:
            answers[number] = await scene.down.request(b"%d" % number)

        async with trio.open_nursery() as nursery:
            for number in range(200):
                nursery.start_soon(ask, number)
        assert answers == {number: b"%d" % number for number in range(200)}
        outer.cancel_scope.cancel()


@virtual
async def test_a_cancelled_request_does_not_disturb_the_next() -> None:
    async with linked(network=memory()) as scene, trio.open_nursery() as nursery:
        with trio.move_on_after(1) as scope:
            await scene.down.request(b"nobody answers yet")
        assert scope.cancelled_caught
        nursery.start_soon(echo, scene.up)
        assert await scene.down.request(b"second") == b"second"
        nursery.cancel_scope.cancel()


async def _request(link: Link) -> None:
    await link.request(b"?")


async def _send_object(link: Link) -> None:
    await link.send_object("log", BIG)


async def _receive(link: Link) -> None:
    await link.receive()


@pytest.mark.parametrize("wait", [_request, _send_object, _receive])
@virtual
async def test_who_waits_is_told_when_the_link_ends(wait: Callable[[Link], Awaitable[None]]) -> None:
    network = memory()
    async with linked(network=network) as scene, trio.open_nursery() as nursery:

        async def expect() -> None:
            with pytest.raises(LinkClosedError) as caught:
                await wait(scene.down)
            if wait is _receive:
                assert isinstance(caught.value.__cause__, LinkTimeoutError)

        nursery.start_soon(expect)
        await trio.sleep(1)
        network.loss = 1.0
        assert (await scene.down.wait_down()).reason is DownReason.TIMEOUT
    with pytest.raises(LinkClosedError):
        scene.down.send_now(SendCommand(ChannelId.COMMAND, b""))
    with pytest.raises(LinkClosedError):
        await scene.down.send(SendCommand(ChannelId.COMMAND, b""))
    await scene.down.close()  # twice is harmless


# --- objects ------------------------------------------------------------------------------------


async def _exhaust(chunks: AsyncIterator[bytes]) -> None:
    async for _ in chunks:
        pass


async def _offered(scene: Scene) -> IncomingObject:
    incoming = await scene.down.receive()
    assert isinstance(incoming, IncomingObject)
    return incoming


@virtual
async def test_an_object_is_refused_when_too_large() -> None:
    async with linked(network=memory()) as scene, trio.open_nursery() as nursery:
        outcomes: list[BulkStatus] = []

        async def send() -> None:
            outcomes.append(await scene.up.send_object("log", BIG))

        nursery.start_soon(send)
        incoming = await _offered(scene)
        assert incoming.offer.name == "log"
        with pytest.raises(UsageError, match="1000 are allowed"):
            await incoming.read_all(1_000)
    assert outcomes == [BulkStatus.REFUSED]


@virtual
async def test_an_object_goes_on_where_an_earlier_attempt_ended() -> None:
    async with linked(network=memory()) as scene, trio.open_nursery() as nursery:
        nursery.start_soon(scene.up.send_object, "log", BIG)
        incoming = await _offered(scene)
        rest = b"".join([chunk async for chunk in incoming.chunks(BIG[:1_000_000])])
        assert rest == BIG[1_000_000:]
        incoming.end(BulkStatus.OK)


@virtual
async def test_a_cancelled_sender_takes_its_object_back() -> None:
    async with linked(network=memory()) as scene:
        with trio.move_on_after(0.5):
            await scene.up.send_object("log", BIG)
        await trio.sleep(1)
        scene.up.send_now(SendCommand(ChannelId.COMMAND, b"later"))
        message = await scene.down.receive()  # not the offer, which nobody had looked at
        assert isinstance(message, CommandReceived)


@virtual
async def test_an_object_taken_back_while_it_is_read() -> None:
    async with linked("tcp", network=MemoryNetwork(stream_window_bytes=8_192)) as scene, trio.open_nursery() as nursery:
        scope = trio.CancelScope()

        async def send() -> None:
            with scope:
                await scene.up.send_object("log", BIG * 4)

        nursery.start_soon(send)
        incoming = await _offered(scene)
        chunks = incoming.chunks()
        await anext(chunks)
        scope.cancel()
        with pytest.raises(LinkClosedError, match="did not finish"):
            await _exhaust(chunks)


@virtual
async def test_a_reader_who_stops_reading_an_object_and_says_so_gets_the_rest_of_the_link() -> None:
    async with linked("tcp", network=memory()) as scene, trio.open_nursery() as nursery:
        nursery.start_soon(echo, scene.up)
        outcomes: list[BulkStatus] = []

        async def send() -> None:
            outcomes.append(await scene.up.send_object("log", BIG * 8))

        nursery.start_soon(send)
        incoming = await _offered(scene)
        chunks = incoming.chunks()
        await anext(chunks)
        await trio.sleep(5)  # as much arrives as may
        incoming.end(BulkStatus.CANCELLED)
        assert await scene.down.request(b"and now?") == b"and now?"
        await trio.sleep(1)
        assert outcomes == [BulkStatus.CANCELLED]
        nursery.cancel_scope.cancel()


async def _hear_all(scene: Scene) -> None:
    """Sticks, a command, an answer and a second object, while a first one stands still."""
    scene.up.send_now(SendControl(ChannelId.CONTROL, b"sticks"))
    scene.up.send_now(SendCommand(ChannelId.COMMAND, b"return home"))
    heard = [await scene.down.receive() for _ in range(2)]
    assert [type(each) for each in heard] == [ControlReceived, CommandReceived]
    assert await scene.down.request(b"are you there?") == b"are you there?"
    async with trio.open_nursery() as nursery:
        nursery.start_soon(scene.up.send_object, "second", BIG[:1_000_000])  # small enough to be hashed here
        assert await (await _offered(scene)).read_all(len(BIG)) == BIG[:1_000_000]


@pytest.mark.parametrize("carrier", CARRIERS)
@virtual
async def test_ch_5_an_object_that_its_reader_leaves_holds_back_nothing_else(carrier: CarrierName) -> None:
    async with linked(carrier, network=memory()) as scene, trio.open_nursery() as nursery:
        nursery.start_soon(echo, scene.up)
        nursery.start_soon(scene.up.send_object, "log", BIG * 4)
        incoming = await _offered(scene)
        async for _ in incoming.chunks():
            break
        await trio.sleep(5)  # as much arrives as may
        before = incoming.received_bytes
        with trio.fail_after(5):
            await _hear_all(scene)
        assert incoming.received_bytes == before
        rest = 0
        while (chunk := await incoming.next_chunk()) is not None:  # and it goes on where it stood
            rest += len(chunk)
        assert before + rest == len(BIG) * 4
        incoming.end(BulkStatus.OK)
        await trio.sleep(1)
        nursery.cancel_scope.cancel()


@virtual
async def test_ch_5_a_slow_reader_of_an_object_gets_all_sticks() -> None:
    """A disk that takes a chunk in three seconds, and sticks 50 times a second."""
    async with linked(network=memory()) as scene, trio.open_nursery() as nursery:
        nursery.start_soon(scene.up.send_object, "log", BIG * 8)
        incoming = await _offered(scene)

        async def store() -> None:
            async for _ in incoming.chunks():
                await trio.sleep(3)

        async def steer() -> None:
            while True:
                scene.up.send_now(SendControl(ChannelId.CONTROL, b"s", 0.3))
                await trio.sleep(0.02)

        nursery.start_soon(store)
        nursery.start_soon(steer)
        heard = 0
        with trio.move_on_after(20):
            async for message in scene.down:
                assert isinstance(message, ControlReceived)
                assert trio.current_time() <= message.expires_s
                heard += 1
        assert heard >= 990
        nursery.cancel_scope.cancel()


@virtual
async def test_the_link_ends_while_an_object_is_read() -> None:
    network = memory()
    async with linked(network=network) as scene, trio.open_nursery() as nursery:

        async def send() -> None:
            with pytest.raises(LinkClosedError):
                await scene.up.send_object("log", BIG)

        nursery.start_soon(send)
        incoming = await _offered(scene)
        chunks = incoming.chunks()
        await anext(chunks)
        network.loss = 1.0
        with pytest.raises(LinkClosedError):
            await _exhaust(chunks)


@virtual
async def test_what_a_link_says_of_itself() -> None:
    async with linked(network=memory()) as scene:
        assert scene.down.role is Role.DRONE
        assert scene.down.key_id == scene.pair.drone_id
        assert scene.up.key_id == scene.pair.rc_id
        assert "(down)" not in repr(scene.up)
        scene.down.send_now(SendCommand(ChannelId.COMMAND, b"x"))
        await scene.down.flush()
        await trio.sleep(1)
        assert scene.up.stats().channels.command.received == 1
        await scene.down.close(CloseCode.BUSY)
        down = await scene.up.wait_down()
        assert down.code is CloseCode.BUSY


def test_offers_are_values() -> None:
    assert BulkOffered(ChannelId.LOG, 1, "a", 1, bytes(32)) == BulkOffered(ChannelId.LOG, 1, "a", 1, bytes(32))
