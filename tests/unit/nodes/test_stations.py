"""Stations at work, on a network in memory: what must not end them, and what they owe to the pages."""

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from types import SimpleNamespace
from typing import Any, cast

import pytest
import trio

from nodes import Link, Stores
from nodes.cloud.ports import FlightRow
from nodes.stations.cloud import CloudStation
from nodes.stations.drone import DroneStation
from nodes.stations.recorder import RecordedFlight
from nodes.stations.vehicle import ModelVehicle
from nodes.testing import MemoryNetwork
from nodes.working import drone as drone_at_work
from protocols.authority import owner_among
from protocols.events import AlarmKind
from protocols.link.peers import PeerRecord, PeerState
from specs.airlink.authority import Right
from specs.airlink.command import Answer, CommandCode, Result
from specs.registry import Role
from specs.remotelink import LogReceipt, SealingKeys
from tests.helpers.sealed import CLOUD, sealed
from tests.helpers.stations import Stations, stations
from tests.live.kit import make_key, record_of, until, virtual
from tests.unit.nodes.test_trust import FULL, Moody


@virtual
async def test_gl_15_a_log_is_let_go_of_for_the_cloud_that_it_is_sealed_to() -> None:
    async with stations() as found:
        drone = found.drone
        store = drone.desk.store
        writer = await store.create()
        await writer.write(sealed(1_000))
        entry = await writer.finish()
        receipt = LogReceipt(entry.flight_id, entry.sha256)
        await drone.seal_to(SealingKeys(CLOUD.public), b"its own cloud id")
        assert (await drone.log_stored(receipt, b"another cloud ..")).result is Result.NOT_ALLOWED
        assert [alarm.kind for alarm in drone.drone.alarms] == [AlarmKind.LOG_REFUSED]
        assert [each.stored for each in await store.all()] == [True]
        for _ in range(2):  # GL-12
            assert await drone.log_stored(receipt, b"its own cloud id") == Answer(Result.DONE)
        assert [each.stored for each in await store.all()] == [False]
        nobodys = LogReceipt(bytes(16), bytes(32))
        assert await drone.log_stored(nobodys, b"another cloud ..") == Answer(Result.INVALID)


class Unlisted(Moody):
    """A directory that may fail to list its devices, too."""

    async def all(self) -> Sequence[PeerRecord]:
        await self._mood("all")
        return await super().all()


def unlisted(stores: Stores, **mood: Any) -> Stores:
    return replace(stores, peers=Unlisted(stores.peers, **mood))


async def flying(found: Stations, nursery: trio.Nursery) -> None:
    """Let drone and remote controller work until it holds the flight right."""
    nursery.start_soon(found.drone.run)
    nursery.start_soon(found.rc.run)
    await until(lambda: found.rc.hands is not None)
    assert found.rc.hands is not None
    await found.rc.hands.take_free(Right.FLIGHT)


@pytest.mark.parametrize("error", [FULL, RuntimeError("a bug of the user's store")])
@virtual
async def test_a_directory_that_cannot_be_listed_costs_the_drone_an_alarm_and_no_flight(error: Exception) -> None:
    tap = partial(unlisted, error=error, failing={"all"})
    with trio.fail_after(60):
        async with stations(tap=tap) as found, trio.open_nursery() as nursery:
            await flying(found, nursery)
            alarms = found.drone.drone.alarms
            assert {alarm.kind for alarm in alarms} == {AlarmKind.STORE_FAILED}
            assert all("bug" not in alarm.detail for alarm in alarms)
            assert found.drone.authority.owner is None
            nursery.cancel_scope.cancel()


@virtual
async def test_au_4_a_controller_owns_the_drone_from_its_first_link_on() -> None:
    """Also while its directory is still writing that it is paired."""
    tap = partial(unlisted, delay_s=0.5)
    with trio.fail_after(60):
        async with stations(tap=tap, rc_state=PeerState.PENDING) as found, trio.open_nursery() as nursery:
            await flying(found, nursery)
            assert found.drone.authority.owner == found.rc_id
            nursery.cancel_scope.cancel()


def test_au_4_a_pending_controller_without_a_link_owns_nothing_and_spoils_nothing() -> None:
    here, there = record_of(make_key(), Role.RC), record_of(make_key(), Role.RC, state=PeerState.PENDING)
    gone = record_of(make_key(), Role.RC, state=PeerState.REVOKED)
    assert owner_among([there]) is None
    assert owner_among([here, there, gone], here.key_id) == here.key_id
    assert owner_among([there, gone], there.key_id) == there.key_id
    assert owner_among([here, there], there.key_id) is None
    assert owner_among([gone], gone.key_id) is None


@virtual
async def test_au_9_a_revocation_by_the_drone_itself_frees_what_the_device_held() -> None:
    with trio.fail_after(60):
        async with stations() as found, trio.open_nursery() as nursery:
            await flying(found, nursery)
            authority = found.drone.authority
            assert [authority.holder(Right.FLIGHT), authority.owner] == [found.rc_id, found.rc_id]
            await found.drone.drone.revoke(found.rc_id)
            assert [authority.holder(Right.FLIGHT), authority.owner] == [None, None]
            await trio.sleep(1.0)
            assert AlarmKind.AUTHORITY_TAKEN in {alarm.kind for alarm in found.drone.drone.alarms}
            nursery.cancel_scope.cancel()


@virtual
async def test_au_36_a_path_that_became_slower_for_good_costs_a_new_link_and_not_the_controls() -> None:
    network = MemoryNetwork(delay_s=0.005)
    with trio.fail_after(60):
        async with stations(network, vehicle=ModelVehicle()) as found, trio.open_nursery() as nursery:
            await flying(found, nursery)
            (before,) = found.drone.drone.links.values()
            network.delay_s = 0.8
            await before.wait_down()
            assert before.control_stale_since is not None
            await until(lambda: found.rc.hands is not None and found.rc.hands.link.down is None)
            await trio.sleep(10.0)
            (link,) = found.drone.drone.links.values()
            assert link.control_stale_since is None
            assert found.drone.authority.holder(Right.FLIGHT) == found.rc_id  # AU-10
            nursery.cancel_scope.cancel()


@virtual
async def test_a_mobile_that_pairs_with_its_drone_again_keeps_one_link_to_it() -> None:
    """Two would replace each other for ever."""
    with trio.fail_after(300):
        async with stations() as found, trio.open_nursery() as nursery:
            for station in (found.drone, found.rc, found.mobile):
                nursery.start_soon(station.run)
            await until(lambda: found.mobile.hands is not None)
            assert found.mobile.hands is not None
            link = found.mobile.hands.link
            nursery.start_soon(found.mobile.keep_drone, found.drone_id)
            await trio.sleep(60.0)
            assert link.down is None
            assert found.lines("mobile-drone: the link is down") == []
            nursery.start_soon(found.mobile.keep_drone, bytes(16))  # paired with another drone
            await link.wait_down()
            await trio.sleep(60.0)
            assert found.mobile.drone_id == bytes(16)
            hands: object = found.mobile.hands
            assert hands is None
            nursery.cancel_scope.cancel()


def row(number: int) -> FlightRow:
    """A flight of the drone whose id is zeros."""
    name = bytes([number]) * 16
    return FlightRow(bytes(16), name, "", 0, 0, bytes(32), name + name, bytes(48), "", "", 0, receipted=False)


@virtual
async def test_gl_14_a_receipt_that_the_drone_could_not_keep_is_told_again() -> None:
    flights = [row(n) for n in range(3)]
    other = replace(flights[0], drone=b"o" * 16)
    asked: list[bytes] = []
    done, failed, invalid = Answer(Result.DONE), Answer(Result.FAILED), Answer(Result.INVALID)
    replies: list[list[Answer | None]] = [[failed, None, done], [invalid], [Answer(Result.NOT_ALLOWED), done]]
    waiting = [other, *flights]

    class Records:
        async def flights(self, *, unreceipted: bool) -> list[FlightRow]:
            assert unreceipted
            return list(waiting)

        async def mark_receipted(self, drone: bytes, flight: bytes) -> None:
            waiting.remove(next(each for each in waiting if (each.drone, each.flight) == (drone, flight)))

    async def ask(_: object, receipt: LogReceipt) -> Answer | None:
        asked.append(receipt.flight_id)
        return replies[receipt.flight_id[0]].pop(0)

    async def no_keys(_: object) -> None:
        await trio.lowlevel.checkpoint()

    cloud: object = SimpleNamespace(stores=SimpleNamespace(records=Records()))
    station: object = SimpleNamespace(_cloud=cloud, _stored=trio.Event(), _ask=ask, _exchange_keys=no_keys)
    with trio.move_on_after(200):
        link = cast("Link", SimpleNamespace(key_id=bytes(16)))
        await CloudStation._tell_drone(cast("CloudStation", station), link)  # pyright: ignore[reportPrivateUsage]
    assert waiting == [other]
    assert [flight[0] for flight in asked] == [0, 1, 2, 0, 2, 0]


@virtual
async def test_a_model_that_stands_for_long_gathers_nothing_and_its_flights_are_recorded() -> None:
    vehicle, flights = ModelVehicle(), list[RecordedFlight]()
    station = cast("DroneStation", SimpleNamespace(record=flights.append))
    async with trio.open_nursery() as nursery:
        nursery.start_soon(vehicle.play, list[bytes]().append)
        nursery.start_soon(drone_at_work._record, vehicle, None, station)  # pyright: ignore[reportPrivateUsage]
        for number in range(2):
            await trio.sleep(120)
            assert len(vehicle.recorded) < 100
            vehicle.command(CommandCode.TAKE_OFF)
            await trio.sleep(10)
            vehicle.command(CommandCode.LAND)
            await until(lambda: len(flights) > number)  # noqa: B023  # awaited here
            assert len(flights[number].frames) > 100
        nursery.cancel_scope.cancel()
