"""specs/vectors: data datagrams, records and the frames in them, through sessions and machines (1-link.md, 1.5)."""

import struct
from itertools import groupby
from typing import Any

import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESGCM, ChaCha20Poly1305

from protocols import codec
from protocols.crypto.suites import SUITES
from protocols.errors import DecryptError, ReplayError
from protocols.events import DownReason, LinkDown
from protocols.link.handshake import SessionKeys
from protocols.link.records import RecordBuffer
from protocols.link.session import DatagramSession, RecordSession
from specs.datagram import DATA_HEADER
from specs.record import RECORD_HEADER
from specs.registry import CloseCode
from tests.tools.own_vectors import Vector, each, everything, named
from tests.tools.replay import CONFIG, Party, established, hexes

FORWARD = "initiator to responder"


def aead(suite: int, key: bytes) -> Any:
    """cryptography's own, without a line of ours between."""
    return AESGCM(key) if SUITES[suite].cipher == "AESGCM" else ChaCha20Poly1305(key)


def key_of(handshake: str, direction: str) -> tuple[Vector, bytes]:
    base = named("handshake", handshake)
    name = "initiator_to_responder_key" if direction == FORWARD else "responder_to_initiator_key"
    return base, bytes.fromhex(base[name])


def session_keys(suite: int, key: bytes) -> SessionKeys:
    return SessionKeys(SUITES[suite].cipher, key, key, bytes(32))


def conversations(kind: str) -> list[Any]:
    """Return one parameter per handshake and direction: its vectors, in order."""
    groups = groupby(everything()[kind], lambda vector: (vector["handshake"], vector["direction"]))
    return [pytest.param(list(vectors), id="-".join(names).replace(" ", "-")) for names, vectors in groups]


# --- datagrams ----------------------------------------------------------------------------------


@pytest.mark.parametrize("vector", each("datagram"))
def test_datagram(vector: Vector) -> None:
    """LK-51: by cryptography alone, by the codec, by a session."""
    key, frame, datagram = hexes(vector, "key", "frame", "datagram")
    assert key == key_of(vector["handshake"], vector["direction"])[1]
    header = datagram[:16]
    assert aead(vector["suite"], key).encrypt(header[4:], frame, header) == datagram[16:]
    value = codec.parse_untrusted(DATA_HEADER, header)
    assert (value.receiver, value.counter) == (vector["receiver"], vector["counter"])
    assert codec.build(DATA_HEADER, value) == header
    number = vector["receiver"]
    session = DatagramSession(
        session_keys(vector["suite"], key), CONFIG, index=number, peer_index=number, epoch=0, now=0.0
    )
    session.sent = vector["counter"]
    assert session.seal(frame) == datagram
    assert session.open_untrusted(datagram) == frame
    assert session.window.highest == vector["counter"]


@pytest.mark.parametrize("vectors", conversations("datagram"))
def test_datagrams_reach_the_machine(vectors: list[Vector]) -> None:
    """Listener and Client take every one, in order, and the last closes the link."""
    base = named("handshake", vectors[0]["handshake"])
    party = established(base, vectors[0]["direction"], stream=False)
    (connection,) = party.machine.connections()
    for vector in vectors:
        before = connection.stats().link
        party.feed(bytes.fromhex(vector["datagram"]))
        after = connection.stats().link
        assert after.packets_received == before.packets_received + 1
        assert (after.replays, after.failed_opens) == (before.replays, before.failed_opens)
    assert party.seen(LinkDown)[-1].reason is DownReason.PEER_CLOSED


CONNECTION = {"decrypt": "failed_opens", "replay": "replays", "old counter": "replays", "exhausted": "replays"}
MACHINE = {"reserved bits": "malformed", "unknown type": "malformed", "length": "malformed"}
"""Counters that go up, of the connection and of the machine."""


def counts(party: Party, connection: Any) -> dict[str, int]:
    link = connection.stats().link
    handshakes: dict[str, int] = party.machine.handshakes.as_dict()
    return handshakes | {"failed_opens": link.failed_opens, "replays": link.replays}


@pytest.mark.parametrize("vector", each("datagram-failure"))
def test_datagram_failure(vector: Vector) -> None:
    """LK-52: dropped for its reason; nothing else changes, and the next one is taken."""
    base, key = key_of(vector["handshake"], vector["direction"])
    party = established(base, vector["direction"], stream=False)
    (connection,) = party.machine.connections()
    for earlier in vector["before"]:
        party.feed(bytes.fromhex(earlier))
    before, received = counts(party, connection), connection.stats().link.packets_received
    assert party.feed(bytes.fromhex(vector["datagram"])) == []
    after = counts(party, connection)
    expected = CONNECTION.get(vector["expect"]) or MACHINE.get(vector["expect"], "unknown_index")
    if vector["direction"] != FORWARD and vector["expect"] in {"reserved bits", "length"}:
        expected = "unknown_index"  # a client knows nobody else, and counts it so
    assert {name: after[name] - before[name] for name in after if after[name] != before[name]} == {expected: 1}
    assert connection.stats().link.packets_received == received
    party.feed(bytes.fromhex(vector["then"]))
    assert connection.stats().link.packets_received == received + 1
    if vector["expect"] in CONNECTION:
        refuse_alone(vector, session_keys(base["suite"], key))


def refuse_alone(vector: Vector, keys: SessionKeys) -> None:
    """The session itself names the reason, and opens the next one."""
    session = DatagramSession(keys, CONFIG, index=1, peer_index=1, epoch=0, now=0.0)
    for earlier in vector["before"]:
        session.open_untrusted(bytes.fromhex(earlier))
    with pytest.raises(DecryptError if vector["expect"] == "decrypt" else ReplayError):
        session.open_untrusted(bytes.fromhex(vector["datagram"]))
    assert session.open_untrusted(bytes.fromhex(vector["then"]))


# --- records ------------------------------------------------------------------------------------


@pytest.mark.parametrize("vector", each("record"))
def test_record(vector: Vector) -> None:
    """LK-53: by cryptography alone, by the codec, by a session."""
    key, frame, record = hexes(vector, "key", "frame", "record")
    assert key == key_of(vector["handshake"], vector["direction"])[1]
    nonce = struct.pack(">4xQ", vector["counter"])
    assert aead(vector["suite"], key).encrypt(nonce, frame, record[:4]) == record[4:]
    value = codec.parse_untrusted(RECORD_HEADER, record[:4])
    assert (value.length, value.epoch) == (len(record) - 4, vector["epoch"])
    assert codec.build(RECORD_HEADER, value) == record[:4]
    session = RecordSession(
        session_keys(vector["suite"], key), CONFIG, index=1, peer_index=1, epoch=vector["epoch"], now=0.0
    )
    session.sent = session.received = vector["counter"]
    assert session.seal(frame) == record
    assert session.open_untrusted(record) == frame


@pytest.mark.parametrize("bytewise", [False, True], ids=["whole", "byte-by-byte"])
@pytest.mark.parametrize("vectors", conversations("record"))
def test_records_reach_the_machine(vectors: list[Vector], bytewise: bool) -> None:
    """StreamServer and Client take all of a stream, in one piece and byte by byte."""
    base = named("handshake", vectors[0]["handshake"])
    party = established(base, vectors[0]["direction"], stream=True, bytewise=bytewise)
    (connection,) = party.machine.connections()
    before = connection.stats().link.packets_received
    stream = b"".join(bytes.fromhex(vector["record"]) for vector in vectors)
    buffer = RecordBuffer()
    assert b"".join(buffer.records_untrusted(stream, has_keys=lambda: True)) == stream
    party.feed(stream)
    assert connection.stats().link.packets_received == before + len(vectors)
    assert party.seen(LinkDown)[-1].reason is DownReason.PEER_CLOSED


REASONS = {
    "decrypt": DownReason.AUTHENTICATION,
    "epoch": DownReason.PROTOCOL,
    "unknown type": DownReason.PROTOCOL,
    "not allowed": DownReason.PROTOCOL,
    "truncated": DownReason.TRUNCATED,
}


@pytest.mark.parametrize("bytewise", [False, True], ids=["whole", "byte-by-byte"])
@pytest.mark.parametrize("vector", each("record-failure"))
def test_record_failure(vector: Vector, bytewise: bool) -> None:
    """LK-53: the link ends, once, for its reason."""
    base, _ = key_of(vector["handshake"], vector["direction"])
    party = established(base, vector["direction"], stream=True, bytewise=bytewise)
    for earlier in vector["before"]:
        party.feed(bytes.fromhex(earlier))
    assert not party.seen(LinkDown)
    party.feed(bytes.fromhex(vector["record"]))
    if vector["expect"] == "truncated":
        assert not party.seen(LinkDown)
        party.machine.receive_end(party.now)
        party.settle()
    (down,) = party.seen(LinkDown)
    assert down.reason is REASONS[vector["expect"]]
    assert party.machine.is_over


# --- inner frames -------------------------------------------------------------------------------


def inner_failures() -> list[Any]:
    """Return frames that end a link, and those that are no frame of their format."""
    whole = [vector for vector in everything()["format-failure"] if vector["format"].startswith("inner.")]
    parts = ("_HEADER", "_RANGE")
    return [*each("frame-failure")] + [
        pytest.param({"frame": vector["bytes"]}, id=vector["name"].replace(" ", "-"))
        for vector in whole
        if not vector["format"].endswith(parts)
    ]


@pytest.mark.parametrize("stream", [False, True], ids=["datagram", "record"])
@pytest.mark.parametrize("vector", inner_failures())
def test_frame_failure(vector: Vector, stream: bool) -> None:
    """CH-1: the link ends with PROTOCOL, and says so."""
    name = "session P256_AESGCM_SHA256"
    base, key = key_of(name, FORWARD)
    party = established(base, FORWARD, stream=stream)
    frame, number = bytes.fromhex(vector["frame"]), base["responder"]["index"]
    header = struct.pack(">B3xIQ", 4, number, 1) if not stream else struct.pack(">HBB", len(frame) + 16, 4, 0)
    nonce = struct.pack(">4xQ", 1) if stream else header[4:]
    (answer,) = party.feed(header + AESGCM(key).encrypt(nonce, frame, header))
    (down,) = party.seen(LinkDown)
    assert (down.reason, down.code) == (DownReason.PROTOCOL, CloseCode.PROTOCOL)
    size = 4 if stream else 16
    back = struct.pack(">4xQ", 1) if stream else answer[4:16]
    opened = AESGCM(key_of(name, "back")[1]).decrypt(back, answer[size:], answer[:size])
    assert opened == struct.pack(">BBH", 8, 0, CloseCode.PROTOCOL)
