"""A device and its cloud, end to end: real sockets, TLS and files; and either of them restarted in the middle."""

import time
from pathlib import Path

import pytest
import trio

from nodes.config.endpoint import Endpoint
from nodes.https import TlsError
from nodes.ports import LogState
from nodes.uplink.enrolling import enrol
from nodes.uplink.states import UplinkState
from protocols.errors import CodeFormatError, ConfigError
from protocols.events import RelayDatagram, RelayMessage
from protocols.pki import CertificateRefusedError
from protocols.pki.errors import TokenRefusedError
from specs.cloudlink import UploadPhase
from tests.live.clouds import FLIGHT, FRAMES_SHA256, CloudPlace, DevicePlace, add_log
from tests.live.kit import DEADLINE_S, one_line, until
from tests.unit.cloud.kit import SealingDrone


@pytest.fixture
def cloud(tmp_path: Path) -> CloudPlace:
    folder = tmp_path / "cloud"
    folder.mkdir(mode=0o700)
    return CloudPlace(folder)


@pytest.fixture
def device(tmp_path: Path, cloud: CloudPlace) -> DevicePlace:
    folder = tmp_path / "device"
    folder.mkdir(mode=0o700)
    return DevicePlace(folder, cloud)


def message(number: int) -> bytes:
    return b"\x80\x00" + b"%d" % number


async def seal_for(cloud: CloudPlace, *, known: bool = True) -> tuple[SealingDrone, bytes]:
    """Return a drone and its sealed flight; ``known``: the cloud has its verifying keys."""
    drone = SealingDrone()
    if known:
        await cloud.sealing.pin_drone(drone.signing.verifying(drone.id))
    return drone, drone.seal(await cloud.sealing.newest_key(), FLIGHT)


async def test_everything_goes_through(cloud: CloudPlace, device: DevicePlace) -> None:
    with trio.fail_after(DEADLINE_S):
        async with cloud.life() as node:
            name = await device.enrol(node)
            _, sealed = await seal_for(cloud)
            async with device.life() as (uplink, logs):
                for number in range(1_000):
                    uplink.telemetry(message(number), drone=bytes(16))
                uplink.alarm("test", "an alarm")
                log = await add_log(logs, sealed)
                uplink.log_added()
                await node.api.downlinks.send(name, "greeting", {"text": "hello"})
                await until(lambda: len(cloud.messages) == 1_000 and len(cloud.flights) == 1)
                assert cloud.messages == [message(number) for number in range(1_000)]
                assert cloud.flights[0].flight.sha256 == FRAMES_SHA256
                assert cloud.flights[0].flight.device == name
                await until(lambda: bool(device.ends) and device.topics == ["greeting"])
                assert device.ends[0].phase is UploadPhase.STORED
                assert device.progress[-1].done_bytes == device.progress[-1].size_bytes == len(sealed)
                entry = await logs.find(log)
                assert entry is not None
                assert entry.state is LogState.ACKNOWLEDGED
                while (await node.stores.records.queue_state(name)).messages:  # noqa: ASYNC110
                    await trio.sleep(0.01)
                (alarms,) = await node.stores.records.alarms(name)
                assert alarms.items == 1
                assert uplink.accepted_messages == 1_000


async def test_relay_messages_both_ways(cloud: CloudPlace, device: DevicePlace) -> None:
    with trio.fail_after(DEADLINE_S):
        async with cloud.life() as node:
            name = await device.enrol(node)
            async with device.life():
                await until(lambda: bool(device.hops) and bool(node.devices_up))
                there = node.relays.neighbour(bytes.fromhex(name))
                assert there is not None
                up: list[RelayMessage] = []
                down: list[RelayMessage] = []
                there.on_message, device.hops[0].on_message = up.append, down.append
                sent = [RelayDatagram(5, by_opener=True, data=b"%d" % number) for number in range(300)]
                for each in sent[:200]:
                    device.hops[0].send(each)
                    there.send(each)
                await until(lambda: len(up) == 200 and len(down) == 200)
                assert up == down == sent[:200]


async def test_the_cloud_restarts_in_the_middle(cloud: CloudPlace, device: DevicePlace) -> None:
    """Three times, while a log is on its way: it arrives once, and telemetry counts once and in order."""
    with trio.fail_after(2 * DEADLINE_S):
        async with cloud.life() as node:
            name = await device.enrol(node)
        _, sealed = await seal_for(cloud)
        sent = 0
        async with device.life() as (uplink, logs):
            await add_log(logs, sealed)
            for life in range(4):
                async with cloud.life() as node:
                    await node.api.downlinks.send(name, f"topic {life}", {})
                    for _ in range(50):
                        uplink.telemetry(message(sent))
                        sent += 1
                    target = (life + 1) * len(sealed) // 5

                    def far(target: int = target) -> bool:
                        return bool(device.progress) and device.progress[-1].done_bytes >= target

                    await until(far)
                assert life == 3 or not cloud.flights  # the log was in the middle
            async with cloud.life():
                await until(lambda: len(cloud.messages) == sent and bool(device.ends) and len(device.topics) >= 4)
            assert cloud.messages == [message(number) for number in range(sent)]
            assert [stored.flight.sha256 for stored in cloud.flights] == [FRAMES_SHA256]
            assert sorted(set(device.topics)) == [f"topic {life}" for life in range(4)]
            assert device.states.count(UplinkState.ONLINE) >= 3


async def test_the_device_restarts_in_the_middle(cloud: CloudPlace, device: DevicePlace) -> None:
    with trio.fail_after(2 * DEADLINE_S):
        async with cloud.life() as node:
            await device.enrol(node)
            _, sealed = await seal_for(cloud)
            for life in range(4):
                async with device.life() as (uplink, logs):
                    if not life:
                        await add_log(logs, sealed)
                    uplink.telemetry(message(life))
                    target = (life + 1) * len(sealed) // 5

                    def far(target: int = target) -> bool:
                        return bool(device.progress) and device.progress[-1].done_bytes >= target

                    await until(far)
            async with device.life():
                await until(lambda: bool(cloud.flights) and len(cloud.messages) == 4)
            assert cloud.messages == [message(number) for number in range(4)]
            assert [stored.flight.sha256 for stored in cloud.flights] == [FRAMES_SHA256]
            done = [each.done_bytes for each in device.progress]
            assert done == sorted(done)  # never from the beginning again


async def test_a_log_of_an_unknown_drone_waits_at_the_cloud(cloud: CloudPlace, device: DevicePlace) -> None:
    with trio.fail_after(DEADLINE_S):
        async with cloud.life() as node:
            await device.enrol(node)
            drone, sealed = await seal_for(cloud, known=False)
            async with device.life() as (_, logs):
                await add_log(logs, sealed)
                await until(lambda: [end.phase for end in device.ends] == [UploadPhase.HELD])
                await cloud.sealing.pin_drone(drone.signing.verifying(drone.id))
                await node.api.uploads.drone_pinned(drone.id)
                await until(lambda: [end.phase for end in device.ends] == [UploadPhase.HELD, UploadPhase.STORED])
                assert len(cloud.flights) == 1


async def test_a_forged_log_is_refused_and_kept(cloud: CloudPlace, device: DevicePlace) -> None:
    with trio.fail_after(DEADLINE_S):
        async with cloud.life() as node:
            await device.enrol(node)
            _, sealed = await seal_for(cloud)
            forged = SealingDrone().seal(await cloud.sealing.newest_key(), FLIGHT)  # its own keys, another's name
            async with device.life() as (_, logs):
                bad = await add_log(logs, forged)
                await add_log(logs, sealed)
                await until(lambda: len(device.ends) == 2)
                assert [end.phase for end in device.ends] == [UploadPhase.REFUSED, UploadPhase.STORED]
                async with logs.content(bad) as content:
                    assert bytes(content) == forged


async def test_a_revoked_device_is_refused_and_may_enrol_anew(cloud: CloudPlace, device: DevicePlace) -> None:
    with trio.fail_after(DEADLINE_S):
        async with cloud.life() as node:
            name = await device.enrol(node)
            async with device.life() as (uplink, _):
                await until(lambda: uplink.state is UplinkState.ONLINE)
                await node.revoke_device(name)
                uplink.telemetry(message(1))
                await until(lambda: uplink.state is UplinkState.REFUSED)
                assert uplink.reason.isprintable()
            token = await node.stores.authority.make_token(time.time())
            async with device.credentials() as credentials:
                await enrol(cloud.enrolment, token.text(), credentials, new_key=True)
                assert credentials.device_id != name
            async with device.life():
                await until(lambda: cloud.messages == [message(1)])


# --- enrolment --------------------------------------------------------------------------------------


async def test_a_token_is_good_once(cloud: CloudPlace, device: DevicePlace, tmp_path: Path) -> None:
    with trio.fail_after(DEADLINE_S):
        async with cloud.life() as node:
            token = (await node.stores.authority.make_token(time.time())).text()
            async with device.credentials() as credentials:
                await enrol(cloud.enrolment, token, credentials)
                first = credentials.device_id
                await enrol(cloud.enrolment, token, credentials)  # its answer might have been lost
                assert credentials.device_id == first
            (tmp_path / "other").mkdir(mode=0o700)
            other = DevicePlace(tmp_path / "other", cloud)
            async with other.credentials() as credentials:
                with pytest.raises(TokenRefusedError) as caught:
                    await enrol(cloud.enrolment, token, credentials)
                assert token not in one_line(caught.value)
                assert not credentials.is_enrolled


async def test_another_cloud_than_that_of_the_token_gets_neither_token_nor_trust(
    cloud: CloudPlace, device: DevicePlace, tmp_path: Path
) -> None:
    with trio.fail_after(DEADLINE_S):
        (tmp_path / "impostor").mkdir(mode=0o700)
        impostor = CloudPlace(tmp_path / "impostor")
        async with cloud.life() as node, impostor.life(), device.credentials() as credentials:
            token = (await node.stores.authority.make_token(time.time())).text()
            with pytest.raises(CertificateRefusedError, match="not the cloud that the token is for"):
                await enrol(impostor.enrolment, token, credentials)
            assert not credentials.is_enrolled
            await enrol(cloud.enrolment, token, credentials)  # the token was told to nobody
            assert credentials.is_enrolled


async def test_what_is_wrong_with_an_enrolment_is_one_line(cloud: CloudPlace, device: DevicePlace) -> None:
    with trio.fail_after(DEADLINE_S):
        async with device.credentials() as credentials:
            async with cloud.life() as node:
                token = (await node.stores.authority.make_token(time.time())).text()
                with pytest.raises(CodeFormatError):
                    await enrol(cloud.enrolment, token[:-1], credentials)
                with pytest.raises(TlsError) as foreign:
                    await enrol(cloud.enrolment, token, credentials, server_hostname="another.example")
                one_line(foreign.value)
            with pytest.raises(ConfigError) as nobody:
                await enrol(Endpoint("127.0.0.1", cloud.enrolment.port), token, credentials)
            one_line(nobody.value)
            assert not credentials.is_enrolled
