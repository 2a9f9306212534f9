"""Sealed logs in the hands of a malicious remote controller, and of a malicious mobile (specs/8-sealed-logs.md, 8.6):
the cloud stores each flight once and as it was flown; the alarms tell what was seen; the drone lets nothing go before
the cloud has said that it has it."""

import hashlib
from collections.abc import Callable
from dataclasses import replace
from functools import partial

import pytest
import trio

from nodes import RemoteController
from nodes.mobile import Mobile
from nodes.ports import LogState
from nodes.stores.spoolrules import SpoolLimits
from nodes.uplink.client import CloudClient
from protocols.events import AlarmKind, BulkStatus
from specs.airlink.command import Result
from specs.cloudlink import UploadKind, UploadOpen, UploadPhase, UploadReason, UploadState
from specs.registry import Role
from tests.helpers.sealed import Parts, drone
from tests.live.chainkit import PATIENCE_S, Branch, Cast, Chain, alarms_of, chain, flight_of, link_of, new_logs, until
from tests.live.evil import HostileMobile, HostileRc, LiarsLogs, offer, works
from tests.live.kit import virtual

# --- forgeries ---------------------------------------------------------------------------------------


Forge = Callable[[bytes, bytes], bytes]
"""From the true log and another of the same drone to a false one."""


def named(forge: Forge) -> str:
    return forge.__name__


def flipped(log: bytes, at: int) -> bytes:
    return log[:at] + bytes((log[at] ^ 1,)) + log[at + 1 :]


def altered(log: bytes, _: bytes) -> bytes:
    return flipped(log, 10_000)


def altered_and_described(log: bytes, _: bytes) -> bytes:
    return Parts.of(flipped(log, 10_000)).described().log()


def shortened(log: bytes, _: bytes) -> bytes:
    parts = Parts.of(log)
    return Parts(parts.header, parts.chunks[:1], parts.manifest, parts.signatures).described().log()


def reordered(log: bytes, _: bytes) -> bytes:
    parts = Parts.of(log)
    swapped = (parts.chunks[1], parts.chunks[0], *parts.chunks[2:])
    return Parts(parts.header, swapped, parts.manifest, parts.signatures).log()


def spliced(log: bytes, other: bytes) -> bytes:
    parts = Parts.of(log)
    chunks = (Parts.of(other).chunks[0], *parts.chunks[1:])
    return Parts(parts.header, chunks, parts.manifest, parts.signatures).log()


def sealed_by_itself(log: bytes, _: bytes) -> bytes:
    return Parts.of(log).described().signed_by(drone("eve").signing).log()


def headed_by_another(log: bytes, other: bytes) -> bytes:
    return other[:1_773] + log[1_773:]


def cut(log: bytes, _: bytes) -> bytes:
    return log[:-1]


def cut_short(log: bytes, _: bytes) -> bytes:
    return log[:7]


def garbage(log: bytes, _: bytes) -> bytes:
    return bytes(len(log))


FALSE = (altered, altered_and_described, shortened, reordered, spliced, sealed_by_itself)
NO_LOGS = (headed_by_another, cut, cut_short, garbage)


TWO = (flight_of(2_500, b"one"), flight_of(2_500, b"two"))


async def two_logs(scene: Chain, store: LiarsLogs) -> tuple[bytes, bytes]:
    """Two flights, sealed, and in the hands of a liar, who passes nothing on."""
    for frames in TWO:
        scene.record(frames)
    await until(lambda: len(store.kept) == 2)
    return store.read(0), store.read(1)


async def turn_honest(scene: Chain, store: LiarsLogs) -> None:
    """Both flights arrive, each once."""
    store.hides = False
    scene.first.rc_station.desk.ring()
    await scene.delivered(*TWO)


@pytest.mark.parametrize("forge", FALSE, ids=named)
@virtual
async def test_it_forges_a_log(forge: Forge) -> None:
    """SL-20 to SL-22: only the cloud can tell; it does, and the mobile, whose upload it was, says so too."""
    store = LiarsLogs()
    with trio.fail_after(PATIENCE_S):
        async with chain(Cast(rcs=(HostileRc,), rc_logs=(store,))) as scene:
            log, other = await two_logs(scene, store)
            assert await offer(scene.first.ground, forge(log, other)) is BulkStatus.OK
            await until(lambda: bool(alarms_of(scene.cloud, AlarmKind.LOG_REFUSED)))
            assert scene.first.device in alarms_of(scene.cloud, AlarmKind.LOG_REFUSED)[0]
            await until(lambda: bool(alarms_of(scene.first.mobile, AlarmKind.LOG_REFUSED)))
            assert scene.flights == []
            assert len([entry for entry in await scene.logs.all() if entry.stored]) == 2
            await turn_honest(scene, store)


@pytest.mark.parametrize("forge", NO_LOGS, ids=named)
@virtual
async def test_it_offers_what_is_no_log(forge: Forge) -> None:
    """SL-43: the mobile refuses it, and names the remote controller."""
    store = LiarsLogs()
    with trio.fail_after(PATIENCE_S):
        async with chain(Cast(rcs=(HostileRc,), rc_logs=(store,))) as scene:
            log, other = await two_logs(scene, store)
            assert await offer(scene.first.ground, forge(log, other)) is BulkStatus.REFUSED
            (line,) = alarms_of(scene.first.mobile, AlarmKind.LOG_REFUSED)
            assert scene.first.rc_id.hex() in line
            assert await scene.first.mobile_station.desk.store.all() == []
            await turn_honest(scene, store)


@virtual
async def test_it_offers_one_log_and_sends_another() -> None:
    """SL-43: under the hash of the true log; nothing of it stays to spoil that (the true one goes on from a prefix)."""
    store = LiarsLogs()
    frames = flight_of(12_000)
    with trio.fail_after(PATIENCE_S):
        async with chain(Cast(rcs=(HostileRc,), rc_logs=(store,))) as scene:
            scene.record(frames)
            await until(lambda: len(store.kept) == 1)
            (true,) = store.kept
            assert true.size_bytes > 3 * 262_144
            false = bytes(true.size_bytes)
            assert await offer(scene.first.ground, false, true.sha256) is BulkStatus.HASH_MISMATCH
            await until(lambda: bool(alarms_of(scene.first.mobile, AlarmKind.LOG_REFUSED)))
            assert scene.first.rc_id.hex() in alarms_of(scene.first.mobile, AlarmKind.LOG_REFUSED)[0]
            store.hides = False
            scene.first.rc_station.desk.ring()
            await scene.delivered(frames)


@virtual
async def test_it_begins_with_another_log_and_breaks_off() -> None:
    """SL-42: a part is kept, and is wrong: that is found out at the next attempt, and the one after succeeds."""
    store = LiarsLogs()
    frames = flight_of(12_000)
    with trio.fail_after(PATIENCE_S):
        async with chain(Cast(rcs=(HostileRc,), rc_logs=(store,))) as scene:
            scene.record(frames)
            await until(lambda: len(store.kept) == 1)
            (true,) = store.kept
            mobile_end = link_of(scene.first.mobile, Role.RC)
            async with trio.open_nursery() as nursery:
                nursery.start_soon(offer, scene.first.ground, bytes(true.size_bytes), true.sha256)
                await until(lambda: mobile_end.stats().channels.bulk.received > 5)
                nursery.cancel_scope.cancel()
            store.hides = False
            scene.first.rc_station.desk.ring()
            await scene.delivered(frames)


@virtual
async def test_it_fills_a_mobile_with_forgeries() -> None:
    """SL-44: what the cloud has refused gives way to what comes from the drone."""
    store, small = LiarsLogs(), new_logs(SpoolLimits(450_000))
    with trio.fail_after(PATIENCE_S):
        async with chain(Cast(rcs=(HostileRc,), rc_logs=(store,), mobile_logs=(small,))) as scene:
            log, _ = await two_logs(scene, store)
            sent: list[BulkStatus | Result] = []
            for number in range(4):
                false = Parts.of(flipped(log, 10_000 + number)).described()
                false = false.signed_by(drone("eve").signing) if number % 2 else false
                sent.append(await offer(scene.first.ground, false.log()))
            assert {BulkStatus.OK, BulkStatus.REFUSED} == set(sent)  # full, until the cloud has judged
            refused = sent.count(BulkStatus.OK)
            await until(lambda: len(alarms_of(scene.first.mobile, AlarmKind.LOG_REFUSED)) == refused)
            await turn_honest(scene, store)


@virtual
async def test_it_sends_logs_again() -> None:
    """SL-40, SL-45: what is delivered is not taken again, under whatever link."""
    store = LiarsLogs()
    with trio.fail_after(PATIENCE_S):
        async with chain(Cast(rcs=(HostileRc,), rc_logs=(store,))) as scene:
            log, _ = await two_logs(scene, store)
            await turn_honest(scene, store)
            for _ in range(3):
                assert await offer(scene.first.ground, log) is Result.DONE
            await trio.sleep(10.0)
            assert len(scene.flights) == 2


@pytest.mark.parametrize("claims", [True, False], ids=["says that it has it", "takes it"])
@virtual
async def test_it_lets_logs_vanish(claims: bool) -> None:
    """SL-45: it says that it has them, and drops them; the drone keeps them until the cloud's own receipt, and hands
    them on through another remote controller. No alarm: nobody can see that it does not pass them on later."""
    store = LiarsLogs()
    store.claims = claims
    frames = flight_of(2_500)
    cast = Cast(rcs=(HostileRc, RemoteController), mobiles=(Mobile, Mobile), rc_logs=(store, None))
    with trio.fail_after(PATIENCE_S):
        async with chain(cast) as scene:
            scene.record(frames)
            await until(lambda: any("handed over" in line for line in scene.lines))
            assert len(store.kept) == (not claims)
            store.drop_all()
            await trio.sleep(10.0)
            (entry,) = await scene.logs.all()
            assert entry.stored
            assert entry.state is LogState.HANDED_OVER
            await scene.start(scene.branches[1])
            await scene.delivered(frames)
            (entry,) = await scene.logs.all()
            assert not entry.stored


@virtual
async def test_it_answers_an_offer_when_the_cloud_has_the_log() -> None:
    """The drone has let go of it by then: it ends nothing but this offer."""
    store = LiarsLogs()
    frames = flight_of(2_500)
    with trio.fail_after(PATIENCE_S):
        async with chain(Cast(rcs=(HostileRc,), rc_logs=(store,))) as scene:
            scene.record(frames)
            await until(lambda: any("drone: log" in line for line in scene.lines))
            thinks = store.thinks = trio.Event()
            await scene.first.air.close()
            await until(lambda: store.thinks is None)
            store.hides = False
            scene.first.rc_station.desk.ring()
            await scene.delivered(frames)
            thinks.set()
            await until(lambda: any("not handed over" in line for line in scene.lines))
            scene.record(more := flight_of(100, b"more"))
            await scene.delivered(frames, more)


@virtual
async def test_it_withholds_until_the_drone_is_full() -> None:
    """SL-44: a drone gives up no log that only it has; the next flight waits until there is room."""
    store = LiarsLogs()
    one, two = TWO
    with trio.fail_after(PATIENCE_S):
        async with chain(Cast(rcs=(HostileRc,), rc_logs=(store,), drone_quota_bytes=250_000)) as scene:
            scene.record(one)
            await until(lambda: len(store.kept) == 1)
            scene.record(two)
            await until(lambda: any("could not be stored" in line for line in scene.lines))
            await scene.take_flight_right(scene.first.hands)
            await works(scene, scene.first.hands)
            store.hides = False
            scene.first.rc_station.desk.ring()
            await scene.delivered(one, two)


@virtual
async def test_what_goes_wrong_on_a_link_ends_that_link_and_nothing_else() -> None:
    """A disk that fails for a moment stands for whatever else a neighbour may bring about."""
    store = LiarsLogs()
    frames = flight_of(100)
    with trio.fail_after(PATIENCE_S):
        async with chain(Cast(rcs=(HostileRc,), rc_logs=(store,))) as scene:
            store.hides, store.fails = False, True
            scene.record(frames)
            await until(lambda: any("rc-mobile: the link is given up" in line for line in scene.lines))
            await scene.delivered(frames)
            await scene.take_flight_right(scene.first.hands)
            await works(scene, scene.first.hands)


# --- a malicious mobile ------------------------------------------------------------------------------


async def upload(branch: Branch, data: bytes, sha256: bytes | None = None) -> UploadState:
    """Bring bytes to the cloud as a log, under a hash of our choice."""
    digest = sha256 or hashlib.sha256(data).digest()
    async with branch.wire() as wire:
        client = CloudClient(wire, branch.device)
        state = await client.open_upload(UploadOpen(UploadKind.SEALED_LOG, "a log", len(data), digest))
        while state.phase is UploadPhase.OPEN and state.offset < len(data):
            state = await client.put_chunk(state.upload, state.offset, data[state.offset : state.offset + 100_000])
        return await client.finish_upload(state.upload) if state.phase is UploadPhase.OPEN else state


def sealed_to_another_cloud(log: bytes, _: bytes) -> bytes:
    parts = Parts.of(log)
    return replace(parts, header=replace(parts.header, cloud_key_id=bytes(16))).described().log()


@pytest.mark.parametrize("forge", [*FALSE, *NO_LOGS, sealed_to_another_cloud], ids=named)
@virtual
async def test_a_mobile_uploads_what_is_false(forge: Forge) -> None:
    """SL-20 to SL-26: the cloud tells its operator which device it was; the true log comes when it is let go."""
    store = LiarsLogs()
    with trio.fail_after(PATIENCE_S):
        async with chain(Cast(mobiles=(HostileMobile,), mobile_logs=(store,))) as scene:
            log, other = await two_logs(scene, store)
            state = await upload(scene.first, forge(log, other))
            assert state.phase is UploadPhase.REFUSED
            (line,) = alarms_of(scene.cloud, AlarmKind.LOG_REFUSED)
            assert scene.first.device in line
            assert state.reason.value in line
            assert scene.flights == []
            assert len([entry for entry in await scene.logs.all() if entry.stored]) == 2
            store.hides = False
            scene.first.mobile_station.desk.ring()
            await scene.delivered(*TWO)


@virtual
async def test_a_mobile_uploads_a_log_of_a_drone_that_nobody_knows() -> None:
    """CL-26: it waits for that drone's keys, within the quota of the device that brought it. No alarm: a drone may be
    paired later; nothing is shown of it meanwhile."""
    store = LiarsLogs()
    with trio.fail_after(PATIENCE_S):
        async with chain(Cast(mobiles=(HostileMobile,), mobile_logs=(store,))) as scene:
            log, _ = await two_logs(scene, store)
            parts = Parts.of(log)
            renamed = replace(parts, header=replace(parts.header, drone_id=bytes(16))).described()
            false = renamed.signed_by(drone("eve").signing).log()
            assert (await upload(scene.first, false)).phase is UploadPhase.HELD
            assert alarms_of(scene.cloud, AlarmKind.LOG_REFUSED) == []
            store.hides = False
            await scene.delivered(*TWO)


@virtual
async def test_a_mobile_spoils_the_name_of_a_log() -> None:
    """CL-25: other bytes under the true hash, until the cloud listens to it no more; another mobile brings the log."""
    store = LiarsLogs()
    frames = flight_of(2_500)
    cast = Cast(rcs=(RemoteController,) * 2, mobiles=(HostileMobile, Mobile), mobile_logs=(store, None))
    with trio.fail_after(PATIENCE_S):
        async with chain(cast) as scene:
            scene.record(frames)
            await until(lambda: len(store.kept) == 1)
            (true,) = store.kept
            for _ in range(5):
                state = await upload(scene.first, bytes(true.size_bytes), true.sha256)
                assert (state.phase, state.reason) == (UploadPhase.REFUSED, UploadReason.HASH)
            assert len(alarms_of(scene.cloud, AlarmKind.LOG_REFUSED)) == 3
            await scene.start(scene.branches[1])
            await scene.delivered(frames)


@virtual
async def test_a_mobile_takes_logs_and_drops_them() -> None:
    """It says that it has them, and the remote controller gives their room away (SL-44); when the mobile is itself
    again, they come a second time, all the way from the drone. No alarm: nobody can see it."""
    store, small = LiarsLogs(), new_logs(SpoolLimits(250_000))
    with trio.fail_after(PATIENCE_S):
        async with chain(Cast(mobiles=(HostileMobile,), rc_logs=(small,), mobile_logs=(store,))) as scene:
            for number, frames in enumerate(TWO):
                scene.record(frames)
                await until(partial(store.has, number + 1))
                await trio.sleep(1.0)
            assert [entry.stored for entry in await small.all()] == [False, True]
            assert [entry.stored for entry in await scene.logs.all()] == [True, True]
            store.drop_all()
            store.hides = False
            await scene.first.ground.close()
            await scene.first.air.close()
            await scene.delivered(*TWO)
