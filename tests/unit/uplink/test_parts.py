"""The states as a table, waits, batches."""

import itertools
from collections.abc import Sequence

import pytest
import trio
import trio.lowlevel

from nodes.uplink.backoff import Backoff, BackoffLimits
from nodes.uplink.batching import Batcher, BatchLimits
from nodes.uplink.states import STATES, Step, UplinkState, after
from protocols.errors import StorageError, UsageError
from tests.live.kit import virtual


def test_every_state_has_a_way_out_and_can_be_stopped() -> None:
    assert set(STATES) == set(UplinkState)
    for state, row in STATES.items():
        assert row[Step.STOP] is UplinkState.STOPPED
        assert Step.TRY in row or state is UplinkState.CONNECTING
    reached = {after(state, step) for state, row in STATES.items() for step in row}
    assert reached == set(UplinkState)


def test_what_is_not_in_the_table_is_refused() -> None:
    for state, step in itertools.product(UplinkState, Step):
        if step not in STATES[state]:
            with pytest.raises(UsageError):
                after(state, step)
    assert Step.ANSWERED not in STATES[UplinkState.REFUSED]


@pytest.mark.parametrize(("byte", "share"), [(0, 0.5), (0x80, 0.75), (0xFF, 1.0)])
def test_waits_double_up_to_a_limit_between_half_and_all(byte: int, share: float) -> None:
    backoff = Backoff(BackoffLimits(0.5, 60.0), lambda count: bytes([byte]) * count)
    waits = [backoff.next_s() for _ in range(100)]
    assert waits == pytest.approx([share * min(60.0, 0.5 * 2**n) for n in range(100)], rel=1e-2)
    backoff.reset()
    assert backoff.next_s() == waits[0]


class Kept:
    """Where batches go."""

    def __init__(self) -> None:
        self.batches: list[Sequence[str]] = []
        self.times: list[float] = []
        self.fails = 0
        self.takes_s = 0.0

    async def store(self, batch: Sequence[str]) -> None:
        await trio.sleep(self.takes_s)
        if self.fails:
            self.fails -= 1
            raise StorageError("the disk is full (a test)")
        self.batches.append(tuple(batch))
        self.times.append(trio.current_time())


@virtual
async def test_a_batch_waits_a_moment_for_more() -> None:
    kept = Kept()
    batcher = Batcher[str](kept.store, len, BatchLimits(delay_s=0.2))
    async with trio.open_nursery() as nursery:
        nursery.start_soon(batcher.run)
        await trio.sleep(1)
        began = trio.current_time()
        batcher.add("a")
        await trio.sleep(0.1)
        batcher.add("b")
        await trio.sleep(0.15)
        assert kept.batches == [("a", "b")]
        assert kept.times[0] - began == pytest.approx(0.2)
        batcher.add("c")
        await trio.sleep(0.3)
        assert kept.batches == [("a", "b"), ("c",)]
        nursery.cancel_scope.cancel()


@virtual
async def test_a_full_batch_does_not_wait_and_none_is_larger() -> None:
    kept = Kept()
    limits = BatchLimits(delay_s=10, max_items=3, max_bytes=50, item_overhead_bytes=10)
    batcher = Batcher[str](kept.store, len, limits)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(batcher.run)
        for item in ("1", "2", "3", "4", "5", "6", "x" * 45, "y" * 30, "z"):
            batcher.add(item)
        await trio.lowlevel.checkpoint()
        await trio.sleep(0.001)
        assert kept.batches == [("1", "2", "3"), ("4", "5", "6"), ("x" * 45,), ("y" * 30,), ("z",)]
        nursery.cancel_scope.cancel()


@virtual
async def test_another_key_begins_another_batch() -> None:
    kept = Kept()
    batcher = Batcher[str](kept.store, len, key=lambda item: item[0])
    for item in ("a1", "a2", "b1", "a3"):
        batcher.add(item)
    await batcher.flush()
    assert kept.batches == [("a1", "a2"), ("b1",), ("a3",)]


@virtual
async def test_what_could_not_be_stored_stays_in_its_place() -> None:
    kept = Kept()
    kept.fails = 1
    batcher = Batcher[str](kept.store, len, BatchLimits(max_items=2))
    for item in "abc":
        batcher.add(item)
    with pytest.raises(StorageError):
        await batcher.flush()
    batcher.add("d")
    await batcher.flush()
    assert kept.batches == [("a", "b"), ("c", "d")]


@virtual
async def test_while_the_disk_is_slow_the_oldest_is_dropped_and_counted() -> None:
    kept = Kept()
    kept.fails = 1
    limits = BatchLimits(max_items=1_000, max_bytes=10_000, item_overhead_bytes=9, max_waiting_bytes=1_000)
    batcher = Batcher[str](kept.store, len, limits)
    batcher.add("!")
    with pytest.raises(StorageError):
        await batcher.flush()
    for number in range(200):
        batcher.add(chr(200 + number))
    await batcher.flush()
    (batch,) = kept.batches
    assert batcher.dropped + len(batch) == 201
    assert len(batch) <= 100
    assert "".join(batch) == "".join(chr(200 + number) for number in range(200))[-len(batch) :]
