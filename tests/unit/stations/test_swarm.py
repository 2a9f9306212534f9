"""Several drones at one remote controller: each has hands of its own, mobiles are shown the first (GL-3, GL-4)."""

import itertools
from dataclasses import replace

import pytest
import trio

from nodes.config.endpoint import Endpoint
from nodes.stations.hands import Hands
from nodes.stations.notes import HandedOver, RightsTold
from nodes.stations.rc import RcSetup, RcStation
from nodes.stations.sentences import sentence, who
from nodes.testing import MemoryNetwork
from protocols.crypto.fingerprint import fingerprint_text
from protocols.errors import UsageError
from specs.airlink.authority import AuthorityState, Right
from specs.airlink.command import Answer, Command, CommandCode, Result
from specs.airlink.numbers import NOBODY
from specs.airlink.stream import MavlinkFrame
from specs.airlink.telemetry import Home
from specs.groundlink import LinkQuality, ShownDrone
from specs.registry import LinkType
from tests.helpers.sealed import sealed
from tests.helpers.stations import stations
from tests.helpers.swarms import Brought, Swarm, swarm
from tests.live.kit import until, virtual


async def ready(found: Swarm, nursery: trio.Nursery) -> None:
    """Let all work until the controller has every drone, and the mobile the controller."""
    found.start(nursery)
    await until(lambda: len(found.rc.all_hands()) == len(found.drones))
    await found.mobile.shown_drone()


@virtual
async def test_each_drone_has_hands_of_its_own_and_obeys_them() -> None:
    with trio.fail_after(60):
        async with swarm(3) as found, trio.open_nursery() as nursery:
            seen: dict[bytes, list[object]] = {}
            flown: list[bytes] = []

            async def fly(hands: Hands) -> None:
                hands.on_seen = seen.setdefault(hands.drone_id, []).append
                nursery.start_soon(hands.beat)
                await hands.take_free(Right.FLIGHT)
                answer = await hands.ask(Command(CommandCode.TAKE_OFF))
                assert answer == Answer(Result.UNSUPPORTED, "this drone has no vehicle")
                flown.append(hands.drone_id)

            found.rc.fly = fly
            await ready(found, nursery)
            await until(lambda: len(flown) == 3)
            assert [hands.drone_id for hands in found.rc.all_hands()] == found.drone_ids
            assert found.rc.hands is found.rc.all_hands()[0]
            assert {drone.authority.holder(Right.FLIGHT) for drone in found.drones} == {found.rc_id}
            await until(lambda: all(len(each) > 20 for each in seen.values()))
            for vehicle, drone_id in zip(found.vehicles, found.drone_ids, strict=True):
                homes = {message for message in seen[drone_id] if isinstance(message, Home)}
                frames = {message for message in seen[drone_id] if isinstance(message, MavlinkFrame)}
                assert (homes, frames) == ({vehicle.home}, {MavlinkFrame(vehicle.frame)})
            nursery.cancel_scope.cancel()


@virtual
async def test_gl_3_mobiles_are_shown_the_first_drone_and_told_which_it_is() -> None:
    with trio.fail_after(60):
        async with swarm(3) as found, trio.open_nursery() as nursery:
            saw: list[object] = []
            found.mobile.see = saw.append
            await ready(found, nursery)
            await trio.sleep(5.0)
            shown = [message for message in saw if not isinstance(message, LinkQuality)]
            assert shown[0] == ShownDrone(found.drone_ids[0])
            assert {message for message in saw if isinstance(message, Home)} == {found.vehicles[0].home}
            frames = {message for message in saw if isinstance(message, MavlinkFrame)}
            assert frames == {MavlinkFrame(found.vehicles[0].frame)}
            nursery.cancel_scope.cancel()


@virtual
async def test_mobiles_are_told_of_every_airlink_every_two_seconds() -> None:
    """Though of two messages of one number the newer takes the place of the older."""
    with trio.fail_after(60):
        async with swarm(3) as found, trio.open_nursery() as nursery:
            told: list[tuple[float, LinkQuality]] = []

            def see(message: object) -> None:
                if isinstance(message, LinkQuality) and message.link is LinkType.AIRLINK:
                    told.append((trio.current_time(), message))

            found.mobile.see = see
            await ready(found, nursery)
            began_s = trio.current_time()
            await trio.sleep(10.0)
            for drone_id in found.drone_ids:
                times = [began_s, *(at_s for at_s, each in told if each.peer == drone_id), began_s + 10.0]
                assert max(after - before for before, after in itertools.pairwise(times)) <= 2.0
            (link,) = found.drones[1].drone.links.values()
            assert [each.up for _, each in told[-3:]] == [True] * 3
            assert all(each.received_bytes_s > 0 and each.sent_bytes_s > 0 for _, each in told[-3:])
            await found.drones[1].drone.revoke(found.rc_id)  # it does not come back
            await link.wait_down()
            await trio.sleep(2.0)
            last = {each.peer: each for _, each in told}
            assert [last[drone_id].up for drone_id in found.drone_ids] == [True, False, True]
            assert last[found.drone_ids[1]].received_bytes_s == 0
            assert len(found.rc.all_hands()) == 2
            nursery.cancel_scope.cancel()


@virtual
async def test_gl_4_a_mobile_of_another_drone_takes_nothing_of_the_first_for_its_own() -> None:
    with trio.fail_after(60):
        async with swarm(2, mobiles_drone=1) as found, trio.open_nursery() as nursery:
            saw: list[object] = []
            brought = Brought()
            found.mobile.see = saw.append
            found.mobile.cloud.uplink = brought.for_uplink()
            await ready(found, nursery)
            await until(lambda: found.mobile.all_hands() != [])
            (hands,) = found.mobile.all_hands()
            assert hands.drone_id == found.drone_ids[1]
            await hands.take_free(Right.FLIGHT)  # end to end
            assert found.drones[1].authority.holder(Right.FLIGHT) == found.mobile_id
            await trio.sleep(3.0)
            assert {message for message in saw if isinstance(message, Home)} == {found.vehicles[1].home}
            assert not [message for message in saw if isinstance(message, MavlinkFrame)]
            # Of what it brings, each has the name of whose it is, or none.
            assert set(brought.homes) == {(b"", found.vehicles[0].home), (found.drone_ids[1], found.vehicles[1].home)}
            nursery.cancel_scope.cancel()


@pytest.mark.parametrize("paired", [True, False])
@virtual
async def test_gl_4_what_is_shown_is_its_own_drones_if_that_is_named(*, paired: bool) -> None:
    with trio.fail_after(60):
        async with swarm(2, mobiles_drone=0 if paired else None) as found, trio.open_nursery() as nursery:
            saw: list[object] = []
            brought = Brought()
            found.mobile.see = saw.append
            found.mobile.cloud.uplink = brought.for_uplink()
            await ready(found, nursery)
            await trio.sleep(3.0)
            assert {message for message in saw if isinstance(message, Home)} == {found.vehicles[0].home}
            assert set(brought.homes) == {(found.drone_ids[0] if paired else b"", found.vehicles[0].home)}
            nursery.cancel_scope.cancel()


@virtual
async def test_gl_3_the_logs_of_all_drones_go_on() -> None:
    with trio.fail_after(60):
        async with swarm(3) as found, trio.open_nursery() as nursery:
            for number, drone in enumerate(found.drones):
                writer = await drone.desk.store.create()
                await writer.write(sealed(1_000 + number))
                await writer.finish()
            await ready(found, nursery)
            at_drones = {entry.sha256 for drone in found.drones for entry in await drone.desk.store.all()}
            assert len(at_drones) == 3
            with trio.fail_after(30):
                while {entry.sha256 for entry in await found.mobile.desk.store.all()} != at_drones:  # noqa: ASYNC110
                    await trio.sleep(0.1)
            nursery.cancel_scope.cancel()


@virtual
async def test_what_a_drone_says_of_its_rights_is_told_when_it_changes_by_whoever_hears_it() -> None:
    with trio.fail_after(60):
        async with swarm(2, mobiles_drone=1) as found, trio.open_nursery() as nursery:
            await ready(found, nursery)
            await until(lambda: found.mobile.hands is not None)
            first, second = found.rc.all_hands()
            await first.take_free(Right.FLIGHT)
            await second.take_free(Right.FLIGHT, Right.PAYLOAD)
            assert found.mobile.hands is not None
            await until(lambda: said(found, "mobile")[-1:] == [(1, found.rc_id, found.rc_id)])
            await trio.sleep(3.0)
            assert [told for told in said(found, "rc") if told[0] == 0] == [(0, b"", b""), (0, found.rc_id, b"")]
            of_second = [told for told in said(found, "rc") if told[0] == 1]
            assert of_second == [(1, b"", b""), (1, found.rc_id, b""), (1, found.rc_id, found.rc_id)]
            assert {told[0] for told in said(found, "mobile")} == {1}
            nursery.cancel_scope.cancel()


def said(found: Swarm, node: str) -> list[tuple[int, bytes, bytes]]:
    """Which drone, who flies, who has the payload: as a station has told."""
    names = {fingerprint_text(each): each for each in (found.rc_id, found.mobile_id)} | {"": b""}
    drones = [fingerprint_text(each) for each in found.drone_ids]
    return [
        (drones.index(note.drone), names[note.flight_id], names[note.payload_id])
        for note in found.notes
        if isinstance(note, RightsTold) and note.node == node
    ]


@virtual
async def test_a_drone_that_changes_its_rights_all_the_time_is_told_of_now_and_then() -> None:
    async with stations(MemoryNetwork()) as found:
        station = found.rc
        one, other = bytes([1]) * 16, bytes([2]) * 16
        for number in range(1_000):
            holder = other if number % 2 else one
            station.tell_rights(bytes(16), AuthorityState(0, 0, number, holder, NOBODY, NOBODY, NOBODY))
            await trio.sleep(0.01)
        strange = fingerprint_text(bytes(16))
        assert 10 <= len([note for note in found.notes if isinstance(note, RightsTold) and note.drone == strange]) <= 18
        await trio.sleep(5)
        station.tell_rights(bytes(16), AuthorityState(0, 0, 1_000, one, NOBODY, NOBODY, NOBODY))
        station.tell_rights(bytes(16), AuthorityState(0, 0, 1_001, other, NOBODY, NOBODY, NOBODY))
        last = [note for note in found.notes if isinstance(note, RightsTold) and note.drone == strange][-1]
        assert last.flight_id == fingerprint_text(other)


def test_rights_as_a_person_reads_them() -> None:
    drone, one, other = (fingerprint_text(bytes([number]) * 16) for number in (1, 2, 3))
    begin = f"rc: the drone {drone[:9]} says that"
    handed = sentence(HandedOver("flight", "rc", "rc", 1.0, "drone", one, other))
    assert handed == f"drone: the flight right is handed over from rc {one[:9]} to rc {other[:9]}"
    assert [who("nobody", ""), who(one[:9], one), who("rc", one)] == ["nobody", one[:9], f"rc {one[:9]}"]
    assert sentence(RightsTold("rc", drone, one, one)) == f"{begin} {one[:9]} may fly"
    assert sentence(RightsTold("rc", drone, "", "")) == f"{begin} nobody may fly"
    assert (
        sentence(RightsTold("rc", drone, one, other)) == f"{begin} {one[:9]} may fly, and {other[:9]} has the payload"
    )
    assert sentence(RightsTold("rc", drone, one, "")) == f"{begin} {one[:9]} may fly, and nobody has the payload"


@virtual
async def test_a_controller_needs_a_drone_and_an_address_to_be_found_at() -> None:
    async with stations(MemoryNetwork()) as found:
        rc, setup = found.rc, found.rc.setup
        with pytest.raises(UsageError, match="needs a drone"):
            RcStation(rc._rc, RcSetup(()), rc.desk.store, found.notes.append)  # pyright: ignore[reportPrivateUsage]
        twice = RcSetup((*setup.drones, replace(setup.drones[0], endpoint=Endpoint("127.0.0.2", 5))))
        with pytest.raises(UsageError, match="names a drone twice"):
            RcStation(rc._rc, twice, rc.desk.store, found.notes.append)  # pyright: ignore[reportPrivateUsage]
        alone = RcStation(rc._rc, RcSetup(setup.drones), rc.desk.store, found.notes.append)  # pyright: ignore[reportPrivateUsage]
        with pytest.raises(UsageError, match="no mobiles"):
            await alone.listen()


@virtual
async def test_what_only_the_first_hop_says_of_rights_is_no_word_of_the_drone() -> None:
    """A mobile without a link of its own tells nobody who may fly."""
    with trio.fail_after(60):
        async with swarm(1) as found, trio.open_nursery() as nursery:
            saw: list[object] = []
            found.mobile.see = saw.append
            await ready(found, nursery)
            await until(lambda: any(isinstance(message, AuthorityState) for message in saw))
            await trio.sleep(3.0)
            assert said(found, "mobile") == []
            nursery.cancel_scope.cancel()
