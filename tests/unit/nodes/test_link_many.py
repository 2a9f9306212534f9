"""Link.send_many and Link.receive_many: nothing is dropped for want of room, and nothing is lost to a cancel."""

import pytest
import trio

from nodes import LinkClosedError
from nodes.ports import CarrierName
from nodes.testing import MemoryNetwork
from protocols.errors import MessageTooLargeError, UsageError
from protocols.events import (
    CommandReceived,
    ControlReceived,
    SendCommand,
    SendControl,
    SendState,
    StateReceived,
    StreamReceived,
)
from specs.registry import ChannelId
from tests.live.kit import CARRIERS, Scene, linked, virtual

VIDEO, MAVLINK = ChannelId.VIDEO, ChannelId.MAVLINK


def memory() -> MemoryNetwork:
    return MemoryNetwork(delay_s=0.001)


def numbered(count: int, size: int) -> list[bytes]:
    return [number.to_bytes(4, "big") + bytes(size - 4) for number in range(count)]


async def read(scene: Scene, count: int) -> list[bytes]:
    """Messages of a stream, as the other end takes them."""
    got: list[bytes] = []
    while len(got) < count:
        got += [message.data for message in await scene.up.receive_many() if isinstance(message, StreamReceived)]
    return got


@pytest.mark.parametrize("carrier", CARRIERS)
@pytest.mark.parametrize("size", [16, 280, 1_200, 20_000])
@virtual
async def test_many_arrive_in_order(carrier: CarrierName, size: int) -> None:
    async with linked(carrier, network=memory()) as scene:
        messages = numbered(min(1_000_000 // size, 20_000), size)  # as much as a reader who comes late is kept
        await scene.down.send_many(VIDEO, messages)
        with trio.fail_after(10):
            assert await read(scene, len(messages)) == messages


@virtual
async def test_more_than_the_queue_holds_waits_for_room() -> None:
    async with linked("tcp", network=memory()) as scene:
        messages = numbered(9_000, 1_200)
        await scene.down.send_many(VIDEO, messages)
        await scene.down.flush()
        sent = scene.down.stats().channels.stream
        assert (sent.sent, sent.dropped) == (9_000, 0)


@virtual
async def test_two_tasks_that_wait_for_room_both_finish() -> None:
    async with linked("tcp", network=memory()) as scene:
        with trio.fail_after(10):
            async with trio.open_nursery() as nursery:
                for channel in (VIDEO, MAVLINK, VIDEO):
                    nursery.start_soon(scene.down.send_many, channel, numbered(5_000, 1_200))
        await scene.down.flush()
        assert scene.down.stats().channels.stream.sent == 15_000


@virtual
async def test_commands_are_queued_one_after_the_other() -> None:
    async with linked(network=memory()) as scene, trio.open_nursery() as nursery:
        messages = numbered(3_000, 500)
        nursery.start_soon(scene.down.send_many, ChannelId.COMMAND, messages)
        got: list[bytes] = []
        with trio.fail_after(100):
            while len(got) < len(messages):
                got += [
                    message.data for message in await scene.up.receive_many() if isinstance(message, CommandReceived)
                ]
        assert got == messages


@pytest.mark.parametrize("count", [3, 6_000])
@virtual
async def test_what_is_wrong_with_one_queues_nothing(count: int) -> None:
    async with linked("tcp", network=memory()) as scene:
        wrong: list[bytes] = [b"x"] * count
        with pytest.raises(MessageTooLargeError):
            await scene.down.send_many(VIDEO, [*wrong, bytes(1_048_577)])
        with pytest.raises(UsageError):
            await scene.down.send_many(VIDEO, [*wrong, "text"])  # type: ignore[list-item]  # pyright: ignore[reportArgumentType]
        for channel in (ChannelId.CONTROL, ChannelId.TELEMETRY, ChannelId.LOG):
            with pytest.raises(UsageError):
                await scene.down.send_many(channel, wrong)
        await scene.down.flush()
        assert scene.down.stats().channels.stream.sent == 0


@virtual
async def test_the_most_urgent_first_and_all_that_is_there() -> None:
    async with linked(network=memory()) as scene:
        await scene.down.send_many(VIDEO, [b"one", b"two"])
        scene.down.send_now(SendState(ChannelId.TELEMETRY, 7, b"state"))
        scene.down.send_now(SendCommand(ChannelId.COMMAND, b"command"))
        scene.down.send_now(SendControl(ChannelId.CONTROL, b"sticks", lifetime_s=60.0))
        await trio.sleep(1)
        kinds = [type(message) for message in await scene.up.receive_many()]
        assert kinds == [ControlReceived, CommandReceived, StateReceived, StreamReceived, StreamReceived]


@virtual
async def test_a_cancelled_receive_many_loses_nothing() -> None:
    async with linked(network=memory()) as scene:
        await scene.down.send_many(VIDEO, [b"one", b"two"])
        await trio.sleep(1)
        with trio.CancelScope() as scope:
            scope.cancel()
            await scene.up.receive_many()
        assert scope.cancelled_caught
        with trio.fail_after(1):
            assert len(await scene.up.receive_many()) == 2


@virtual
async def test_a_cancelled_send_many_has_sent_a_first_part_at_most() -> None:
    async with linked("tcp", network=MemoryNetwork(stream_window_bytes=8_192)) as scene:
        with trio.CancelScope() as scope:
            scope.cancel()
            await scene.down.send_many(VIDEO, [b"never"])
        await scene.down.flush()
        assert scope.cancelled_caught
        assert scene.down.stats().channels.stream.sent == 0


@virtual
async def test_who_waits_is_told_of_the_end() -> None:
    async with linked(network=memory()) as scene:
        await scene.down.send_many(VIDEO, [b"last words"])
        await trio.sleep(1)
        await scene.down.close()
        await scene.up.wait_down()
        assert [message.data for message in await scene.up.receive_many() if isinstance(message, StreamReceived)] == [
            b"last words"
        ]
        with pytest.raises(LinkClosedError):
            await scene.up.receive_many()
        with pytest.raises(LinkClosedError):
            await scene.down.send_many(VIDEO, [b"too late"])
