"""What waits at a port (specs/11-mavlink.md, 11.3)."""

import trio

from nodes.mavlink.queue import FRAME_OVERHEAD_BYTES, MAX_AGE_S, MAX_QUEUE_BYTES, FrameQueue, PortCounters
from tests.live.kit import virtual

FRAME = bytes(100)


@virtual
async def test_mv_21_frames_leave_in_their_order() -> None:
    queue = FrameQueue(PortCounters())
    frames = [bytes([number]) * 10 for number in range(10)]
    for frame in frames:
        queue.put(frame)
    assert await queue.take() == frames[:1]
    assert await queue.take(25) == frames[1:4]
    assert await queue.take(10_000) == frames[4:]
    assert len(queue) == 0


@virtual
async def test_mv_22_the_oldest_goes_when_there_is_no_room() -> None:
    counters = PortCounters()
    queue = FrameQueue(counters)
    room = MAX_QUEUE_BYTES // (len(FRAME) + FRAME_OVERHEAD_BYTES)
    for number in range(room + 3):
        queue.put(number.to_bytes(4, "big") + FRAME[4:])
    assert counters.dropped == 3
    assert (await queue.take())[0][:4] == (3).to_bytes(4, "big")


@virtual
async def test_mv_23_what_has_waited_too_long_is_not_sent() -> None:
    counters = PortCounters()
    queue = FrameQueue(counters)
    queue.put(b"old")
    await trio.sleep(MAX_AGE_S / 2)
    queue.put(b"new")
    await trio.sleep(MAX_AGE_S / 2 + 0.1)
    assert await queue.take(1_000) == [b"new"]
    assert counters.dropped == 1


@virtual
async def test_who_waits_gets_the_next_and_nothing_stale() -> None:
    queue = FrameQueue(PortCounters())
    taken: list[bytes] = []

    async def take() -> None:
        taken.extend(await queue.take())

    queue.put(b"old")
    await trio.sleep(MAX_AGE_S + 0.1)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(take)
        await trio.sleep(1)
        assert taken == []
        queue.put(b"new")
    assert taken == [b"new"]


@virtual
async def test_mv_23_what_is_for_somebody_who_has_gone_is_dropped() -> None:
    counters = PortCounters()
    queue = FrameQueue(counters)
    queue.put(FRAME)
    queue.clear()
    assert (len(queue), counters.dropped) == (0, 1)
