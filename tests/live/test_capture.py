"""An eavesdropper sees nothing of a flight; a control run without encryption shows that he would."""

from collections.abc import Callable
from dataclasses import replace
from types import MappingProxyType

import pytest
import trio

from nodes import Drone, Endpoint, IncomingObject, Link, RemoteController, Stores
from nodes.flight import ModelFlight, encode_flight
from nodes.ports import CarrierName
from nodes.video import VideoSource
from protocols.codec import Buffer
from protocols.crypto.ciphers import CIPHERS, AeadObject
from protocols.crypto.dh import SoftwareKey
from protocols.crypto.suites import DEFAULT_SUITE, SUITES, Suite
from protocols.events import BulkStatus, CommandReceived, SendCommand, SendState, SendStream
from protocols.link import session
from protocols.pairing import LinkingCode
from specs.registry import ChannelId
from tests.live.capture import Capture, Detector, capturing
from tests.live.kit import CARRIERS, DEADLINE_S, LOOPBACK, PATIENT, config_of, make_key, stores_of, until

SERIAL = "AL-2026-0042-7731-QX"
COMMAND = b"survey the north field at 30 m, then return to the barn"
ANSWER = b"serial number " + SERIAL.encode() + b", battery B-77-1093-44"
NAME = "flight of the barn owl, 23 November.tlog"
FRAMES = 700
PICTURES = 3


class _Identity:
    """No cipher at all: plaintext and sixteen zeros, and everything is accepted."""

    def __init__(self, _key: bytes) -> None:
        pass

    def encrypt(self, _nonce: Buffer, data: Buffer, _associated: Buffer | None, /) -> bytes:
        return bytes(data) + bytes(16)

    def encrypt_into(self, _nonce: Buffer, data: Buffer, _associated: Buffer | None, buf: Buffer, /) -> int:
        memoryview(buf)[:] = bytes(data) + bytes(16)
        return len(buf)

    def decrypt(self, _nonce: Buffer, data: Buffer, _associated: Buffer | None, /) -> bytes:
        return bytes(data[:-16])


def _without_encryption(monkeypatch: pytest.MonkeyPatch) -> None:
    new: Callable[[bytes], AeadObject] = _Identity
    rows = {name: replace(row, new=new) for name, row in CIPHERS.items()}
    monkeypatch.setattr(session, "CIPHERS", MappingProxyType(rows))


async def _fly(link: Link, frames: list[bytes], flight: bytes) -> None:
    """The drone's side: telemetry, pictures, an answer, the recorded flight."""
    video = VideoSource()
    for number in range(PICTURES):
        link.send_now(SendStream(ChannelId.VIDEO, video.frame(number)))
        await trio.lowlevel.checkpoint()
    for number, frame in enumerate(frames):
        link.send_now(SendState(ChannelId.TELEMETRY, number % 7, frame))
        if number % 10 == 0:
            link.send_now(SendStream(ChannelId.MAVLINK, frame))
            await trio.lowlevel.checkpoint()
    async for message in link:
        if isinstance(message, CommandReceived):
            assert message.data == COMMAND
            link.send_now(SendCommand(message.channel, ANSWER, reply_to=message.id))
            break
    assert await link.send_object(NAME, flight) is BulkStatus.OK


async def _control(link: Link) -> bytes:
    """The remote controller's side; returns the flight."""
    assert await link.request(COMMAND) == ANSWER
    async for message in link:
        if isinstance(message, IncomingObject):
            assert message.offer.name == NAME
            return await message.read_all(1 << 24)
    raise AssertionError


async def _record(carrier: CarrierName, suite: Suite) -> tuple[Capture, Detector]:
    """Pair, link and transfer a flight; return what was captured, and who looks for it."""
    frames = [frame.data for _, frame in zip(range(FRAMES), ModelFlight().frames(), strict=False)]
    flight = encode_flight([frame for _, frame in zip(range(FRAMES), ModelFlight().frames(), strict=False)])
    detector = Detector()
    detector.add_source(*frames, *(VideoSource().frame(number) for number in range(PICTURES)), COMMAND, ANSWER)
    detector.add_text("serial number", SERIAL)
    detector.add_text("name", NAME)
    config = config_of(suite, PATIENT)
    drone_key, rc_key = make_key(suite.dh), make_key(suite.dh)
    drone_stores, rc_stores = stores_of(drone_key), stores_of(rc_key)
    with trio.fail_after(DEADLINE_S):
        async with Drone(drone_stores, config) as drone, RemoteController(rc_stores, config) as rc:
            where = await drone.listen(LOOPBACK, carrier)
            async with capturing(where.port) as capture:
                code = await _pair_and_fly(drone, rc, where, carrier, frames, flight)
            detector.add_text("linking code", code.text())
            detector.add_bytes("linking code", code.secret)
    await _add_secrets(detector, drone_stores, drone_key)
    await _add_secrets(detector, rc_stores, rc_key)
    assert capture.packets > 10  # a gathered write joins many records; the bytes are what counts
    assert capture.byte_count > len(flight) + PICTURES * VideoSource().frame_bytes(1)
    return capture, detector


async def _pair_and_fly(
    drone: Drone, rc: RemoteController, where: Endpoint, carrier: CarrierName, frames: list[bytes], flight: bytes
) -> LinkingCode:
    code = drone.open_pairing()
    peer = await rc.pair(code, where, carrier)
    link = await rc.connect(peer.key_id, where, carrier)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(_fly, await drone.next_link(), frames, flight)
        assert await _control(link) == flight
    assert link.stats().channels.stream.received
    assert link.stats().channels.state.received
    await link.close()
    await until(lambda: not drone.links)
    return code


async def _add_secrets(detector: Detector, stores: Stores, key: SoftwareKey) -> None:
    detector.add_bytes("static private key", key.private_bytes())
    detector.add_bytes("static public key", key.public)  # who speaks is no secret, but message 1 hides it
    (peer,) = await stores.peers.all()
    detector.add_bytes("pair secret", peer.pair_secret)


@pytest.mark.parametrize("suite", SUITES.values(), ids=lambda suite: suite.name)
@pytest.mark.parametrize("carrier", CARRIERS)
async def test_nothing_of_a_flight_is_seen(carrier: CarrierName, suite: Suite) -> None:
    capture, detector = await _record(carrier, suite)
    assert detector.findings(capture.streams()) == set()


@pytest.mark.parametrize("carrier", CARRIERS)
async def test_without_encryption_it_is_seen(carrier: CarrierName, monkeypatch: pytest.MonkeyPatch) -> None:
    _without_encryption(monkeypatch)
    capture, detector = await _record(carrier, DEFAULT_SUITE)
    assert detector.findings(capture.streams()) == {"source", "serial number", "name"}


def test_the_detector_sees_each_secret_in_each_spelling() -> None:
    detector = Detector()
    detector.add_text("text", "ABCD-EFGH-JKMN")
    detector.add_bytes("bytes", bytes(range(200, 216)))
    detector.add_source(bytes(range(100)))
    for seen in (b"abcd-efgh-jkmn", b"ABCDEFGHJKMN", b"QUJDRC1FRkdILUpLTU4"):
        assert detector.findings([b"x" + seen + b"x"]) == {"text"}
    raw = bytes(range(200, 216))
    for seen in (raw, raw.hex().encode(), raw.hex().upper().encode(), b"yMnKy8zNzs_Q0dLT1NXW1w"):
        assert detector.findings([b"x" + seen + b"x"]) == {"bytes"}
    assert detector.findings([bytes(range(20, 32))]) == {"source"}
    assert detector.findings([bytes(range(20, 31)), bytes(40)]) == set()
