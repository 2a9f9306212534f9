"""The flight recorder while no cloud has given a key: it keeps the newest flights, in memory alone."""

import trio

from nodes.flight import FlightFrame
from nodes.stations.logs import LogDesk
from nodes.stations.recorder import RecordedFlight, Recorder
from nodes.stores.sealingmemory import MemoryDroneSealing
from nodes.stores.spoolmemory import memory_log_store
from nodes.stores.spoolrules import SpoolLimits
from protocols.sealing import CloudKey
from tests.helpers.sealed import CLOUD
from tests.live.kit import until, virtual

FITS = 8
"""So many flights wait; specs/8-sealed-logs.md leaves the number to the drone."""


async def known_as(_: bytes) -> bytes:
    return bytes(16)


def flight(number: int, frames: int = 1) -> RecordedFlight:
    return RecordedFlight("model", [FlightFrame(0.0, b"\xfd" + bytes(11))] * frames, id=bytes([number]) * 16)


@virtual
async def test_the_newest_flights_wait_and_each_is_sealed_once() -> None:
    keys, store, told = MemoryDroneSealing(), memory_log_store(SpoolLimits(10**7)), list[str]()
    recorder = Recorder(known_as, keys, LogDesk(store), told.append)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(recorder.run)
        for number in range(FITS + 2):
            recorder.add(flight(number))
        assert [line.startswith("a flight is lost") for line in told] == [True, True]
        await trio.sleep(100)
        assert list(await store.all()) == []  # without a key nothing is written
        await keys.pin_cloud_key(CloudKey(bytes(16), CLOUD.public))
        recorder.look()
        with trio.fail_after(100):
            await until(lambda: len([line for line in told if "sealed and signed" in line]) == FITS)
        await trio.sleep(100)
        nursery.cancel_scope.cancel()
    assert [entry.flight_id[0] for entry in await store.all()] == list(range(2, FITS + 2))


@virtual
async def test_short_flights_do_not_push_a_long_one_out() -> None:
    """Whoever reaches the autopilot's port can say armed and disarmed in turn."""
    keys, store, told = MemoryDroneSealing(), memory_log_store(SpoolLimits(10**7)), list[str]()
    recorder = Recorder(known_as, keys, LogDesk(store), told.append)
    recorder.add(flight(99, frames=5))
    for number in range(3 * FITS):
        recorder.add(flight(number))
    await keys.pin_cloud_key(CloudKey(bytes(16), CLOUD.public))
    async with trio.open_nursery() as nursery:
        nursery.start_soon(recorder.run)
        with trio.fail_after(100):
            await until(lambda: len([line for line in told if "sealed and signed" in line]) == FITS)
        nursery.cancel_scope.cancel()
    assert 99 in [entry.flight_id[0] for entry in await store.all()]
