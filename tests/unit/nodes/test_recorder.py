"""The flight recorder: what must not end it, nor make two logs of one flight (specs/8-sealed-logs.md)."""

from typing import cast

import trio

from nodes.flight import FlightFrame
from nodes.ports import LogEntry, LogStore
from nodes.stations.logs import LogDesk
from nodes.stations.recorder import RecordedFlight, Recorder
from nodes.stores.sealingmemory import MemoryDroneSealing
from protocols.errors import StorageError
from protocols.sealing import CloudKey
from tests.helpers.sealed import CLOUD
from tests.helpers.stations import log_store
from tests.live.kit import virtual

FLIGHT = RecordedFlight("model", [FlightFrame(0.0, b"\xfd" + bytes(11))])


async def known_as(_: bytes) -> bytes:
    return bytes(16)


class Locked(MemoryDroneSealing):
    """Keys whose file cannot be read at times."""

    error: StorageError | None = None

    async def cloud_key(self) -> CloudKey | None:
        if self.error is not None:
            raise self.error
        return await super().cloud_key()


class Cramped:
    """A store that has written a log, and then no room to note it."""

    def __init__(self) -> None:
        self.attempts: list[bytearray] = []
        self.third = trio.Event()

    async def create(self) -> "Cramped":
        self.attempts.append(bytearray())
        return self

    async def write(self, data: bytes) -> None:
        self.attempts[-1] += data

    async def finish(self) -> LogEntry:
        if len(self.attempts) == 3:
            self.third.set()
        raise StorageError("disk full")

    async def aclose(self) -> None:
        """Nothing is open."""


@virtual
async def test_a_flight_waits_for_its_key() -> None:
    keys, store, told = Locked(), log_store(), list[str]()
    keys.error = StorageError("log-cloud.json is damaged")
    desk = LogDesk(store)
    rung = desk.bell
    recorder = Recorder(known_as, keys, desk, told.append)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(recorder.run)
        recorder.add(FLIGHT)
        await trio.sleep(1)
        assert told == ["a flight waits: it could not be stored: log-cloud.json is damaged"]
        keys.error = None
        await trio.sleep(60)
        assert told[1:] == ["a flight waits: no cloud has given a key to seal it to"]
        await keys.pin_cloud_key(CloudKey(bytes(16), CLOUD.public))
        recorder.look()
        await rung.wait()
        nursery.cancel_scope.cancel()


@virtual
async def test_sl_40_every_attempt_to_store_a_flight_stores_the_same_bytes() -> None:
    """Sealed anew it would be another log of the same flight, which the cloud must take for a forgery."""
    keys, store, told = MemoryDroneSealing(), Cramped(), list[str]()
    await keys.pin_cloud_key(CloudKey(bytes(16), CLOUD.public))
    recorder = Recorder(known_as, keys, LogDesk(cast("LogStore", store)), told.append)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(recorder.run)
        recorder.add(FLIGHT)
        await store.third.wait()
        nursery.cancel_scope.cancel()
    assert len(store.attempts[0]) > 1_000
    assert store.attempts == [store.attempts[0]] * 3
