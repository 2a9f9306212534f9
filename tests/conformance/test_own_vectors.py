"""specs/vectors/*.json through every entry point: handshakes (specs/1-link.md, 1.2 to 1.5; 2-pairing.md).

The vectors come from a second implementation (tests/tools/make_vectors), which shares no code with the product.
"""

import hashlib
import hmac
import json
from typing import Any

import pytest

from protocols import codec
from protocols.crypto.kem import MlKem768Key
from protocols.crypto.keys import load_static_key
from protocols.crypto.suites import SUITES
from protocols.events import DownReason, LinkDown, LinkUp, PairingStored, PeerConfirmed, Rekeyed
from protocols.guards.cookie import mac1, mac1_key, response_mac1_key
from protocols.link.handshake import (
    INITIATION_HEADER_BYTES,
    PSK_POSITION,
    REPLY_HEADER_BYTES,
    Offer,
    initiation_payload,
    lengths,
    response_payload,
)
from protocols.noise import HandshakeState
from protocols.pairing import LinkingCode, pair_secret_info
from specs.datagram import FINISH_HEADER, INITIATION_HEADER, PROLOGUE, RESPONSE_HEADER
from specs.registry import HandshakeKind, LinkType, Role
from specs.strict import Format
from tests.tools.make_vectors.files import make
from tests.tools.own_vectors import (
    COMMITTED,
    EXPECTS,
    KEYS,
    PARTS,
    Vector,
    VectorError,
    check_vector,
    each,
    everything,
    load,
    parse,
)
from tests.tools.replay import Initiating, Responding, chain_of, hexes, identity, key_source

ROLES = (Role.RC, Role.DRONE)
HEADERS: dict[str, tuple[Format[Any], int]] = {
    "initiation": (INITIATION_HEADER, INITIATION_HEADER_BYTES),
    "response": (RESPONSE_HEADER, REPLY_HEADER_BYTES),
    "finish": (FINISH_HEADER, REPLY_HEADER_BYTES),
}


# --- the files ----------------------------------------------------------------------------------


def test_the_program_makes_the_committed_files(tmp_path: Any) -> None:
    """Running it again gives the same bytes: every secret comes from its label."""
    make(tmp_path)
    made = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    assert made == {path.name: path.read_bytes() for path in COMMITTED.glob("*.json")}


def test_an_empty_or_missing_folder_fails(tmp_path: Any) -> None:
    for where in (tmp_path, tmp_path / "missing"):
        with pytest.raises(VectorError):
            load(where)


@pytest.mark.parametrize("kind", KEYS)
def test_unknown_keys_and_expectations_fail(kind: str) -> None:
    vector = everything()[kind][0]
    changes: list[Vector] = [{"surprise": 1}, {"name": ""}]
    changes += [{"expect": "anything"}] if "expect" in vector else []
    changes += [{"direction": "sideways"}] if "direction" in vector else []
    changes += [{part: vector[part] | {"surprise": 1}} for part in PARTS.get(kind, {})]
    for change in changes:
        with pytest.raises(VectorError):
            check_vector(kind, vector | change)
    missing = dict(vector)
    del missing[max(KEYS[kind])]
    with pytest.raises(VectorError):
        check_vector(kind, missing)


def test_every_expectation_has_a_vector() -> None:
    for kind, words in EXPECTS.items():
        assert {vector["expect"] for vector in everything()[kind]} == words


def test_a_file_that_is_damaged_fails() -> None:
    text = (COMMITTED / "map.json").read_text()
    document = json.loads(text)
    header, vectors = document["header"], document["vectors"]
    documents: tuple[Any, ...] = (
        document | {"more": 1},
        {"header": header | {"more": 1}, "vectors": vectors},
        {"header": header | {"wire_version": 2}, "vectors": vectors},
        {"header": header | {"kind": "handshake"}, "vectors": vectors},
        {"header": header, "vectors": []},
        {"header": header, "vectors": [*vectors, vectors[0]]},
    )
    for damaged in documents:
        with pytest.raises(VectorError):
            parse("map", json.dumps(damaged))


def test_every_suite_has_every_handshake() -> None:
    found = {(vector["suite"], vector["kind"], "session" in vector) for vector in everything()["handshake"]}
    assert found == {(suite, *use) for suite in SUITES for use in ((1, False), (2, False), (2, True))}


# --- handshakes ---------------------------------------------------------------------------------


def offer_of(vector: Vector) -> Offer:
    kind, association = HandshakeKind(vector["kind"]), bytes.fromhex(vector["association"])
    return Offer(SUITES[vector["suite"]], kind, LinkType.AIRLINK, association)


def noise(vector: Vector, who: str) -> HandshakeState:
    kind = HandshakeKind(vector["kind"])
    knows_peer = who == "initiator" and kind is HandshakeKind.SESSION
    suite = SUITES[vector["suite"]]
    return HandshakeState(
        offer_of(vector).noise(),
        initiator=who == "initiator",
        key_source=key_source([vector, vector], who),
        prologue=bytes.fromhex(vector["prologue"]),
        s=identity(vector, who).key(suite.dh),
        rs=bytes.fromhex(vector["responder"]["static_public"]) if knows_peer else None,
        psks={PSK_POSITION[kind]: bytes.fromhex(vector["psk"])},
    )


@pytest.mark.parametrize("vector", each("handshake"))
def test_noise(vector: Vector) -> None:
    """LK-3, LK-50, PR-11: both state machines give the messages, payloads, hash, keys and pair secret."""
    sides = noise(vector, "initiator"), noise(vector, "responder")
    assert sides[0].protocol.name == vector["noise_protocol"]
    for number, (message, payload) in enumerate(zip(vector["messages"], vector["payloads"], strict=True)):
        writer, reader = sides[number % 2], sides[1 - number % 2]
        assert writer.write_message(bytes.fromhex(payload)).hex() == message
        assert reader.read_message(bytes.fromhex(message)).hex() == payload
    publics = [bytes.fromhex(vector[who]["static_public"]) for who in ("initiator", "responder")]
    for side in sides:
        assert side.handshake_hash.hex() == vector["handshake_hash"]
        if vector["kind"] == HandshakeKind.PAIRING:
            secret = side.export_secret(pair_secret_info(publics[0], publics[1], ROLES), 32)
            assert secret.hex() == vector["pair_secret"]
        keys = [cipher.key_bytes().hex() for cipher in side.split()]
        assert keys == [vector["initiator_to_responder_key"], vector["responder_to_initiator_key"]]


@pytest.mark.parametrize("vector", each("handshake"))
def test_parts(vector: Vector) -> None:
    """LK-10 to LK-14, LK-20: what a handshake is made of, part by part."""
    suite, offer = SUITES[vector["suite"]], offer_of(vector)
    sender, receiver = vector["initiator"]["index"], vector["responder"]["index"]
    assert offer.prologue().hex() == vector["prologue"]
    first = initiation_payload(suite, offer.kind, vector["initiation_counter"], sender)
    assert [first.hex(), response_payload(receiver).hex(), ""][: len(vector["payloads"])] == vector["payloads"]
    header = offer.header(sender, vector["continues"])
    assert vector["datagrams"]["initiation"].startswith(header.hex() + vector["messages"][0])
    for who in ("initiator", "responder"):
        private, public, static, own = hexes(
            vector[who], "ephemeral_private", "ephemeral_public", "static_private", "static_public"
        )
        assert load_static_key(suite.dh, private).public == public
        assert load_static_key(suite.dh, static).public == own
    assert vector["channel_binding"] == vector["handshake_hash"][:64]
    if suite.kem:
        seed = bytes.fromhex(vector["initiator"]["kem_seed"])
        shared, ciphertext = hexes(vector["responder"], "kem_shared_secret", "kem_ciphertext")
        assert MlKem768Key.from_seed(seed).decapsulate(ciphertext) == shared
    if "linking_code" in vector:
        code = LinkingCode.parse(vector["linking_code_text"])
        assert code.secret.hex() == vector["linking_code"]
        assert code.psk0().hex() == vector["psk"]
    else:
        assert vector["psk"] == vector["pair_secret"]


@pytest.mark.parametrize("vector", each("handshake"))
def test_envelopes(vector: Vector) -> None:
    """Headers parse and build to the same bytes; lengths are the only ones; mac1 by hmac and by ours (LK-20, LK-54)."""
    ikm = vector.get("linking_code") or vector["responder"]["static_public"]
    key = mac1_key(bytes.fromhex(ikm))
    extracted = hmac.digest(bytes(32), bytes.fromhex(ikm), "sha256")
    assert key.hex() == vector["mac1_key"] == hmac.digest(extracted, b"mac1\x01", "sha256").hex()
    reply = key
    if "linking_code" not in vector:
        secret = hmac.digest(bytes(32), bytes.fromhex(vector["psk"]), "sha256")
        reply = response_mac1_key(bytes.fromhex(vector["psk"]))
        assert reply == hmac.digest(secret, b"mac1 response\x01", "sha256")
    assert reply.hex() == vector["response_mac1_key"]
    wanted = lengths(SUITES[vector["suite"]], HandshakeKind(vector["kind"]))
    prologue = bytes.fromhex(vector["prologue"])
    assert codec.build(PROLOGUE, codec.parse_untrusted(PROLOGUE, prologue)) == prologue
    assert codec.parse_untrusted(PROLOGUE, prologue).channels_sha256 == hashlib.sha256(
        bytes((1, 1, 2, 2, 3, 3, 4, 4, 5, 4, 6, 5, 7, 6))
    ).digest()  # fmt: skip
    for name, (fmt, size) in HEADERS.items():
        if name not in vector["datagrams"]:
            continue
        datagram, record = bytes.fromhex(vector["datagrams"][name]), bytes.fromhex(vector["records"][name])
        macs = 32 if name == "initiation" else 16
        body, tag = datagram[:-macs], datagram[-macs:][:16]
        assert len(datagram) == getattr(wanted, name) <= 1_452
        assert codec.build(fmt, codec.parse_untrusted(fmt, body[:size])) == body[:size]
        made_with = reply if name == "response" else key
        assert mac1(made_with, body) == hmac.digest(made_with, body, "sha256")[:16] == tag
        assert record == len(body).to_bytes(2, "big") + bytes((body[0], 0)) + body


CARRIERS = pytest.mark.parametrize(
    ("stream", "bytewise"), [(False, False), (True, False), (True, True)], ids=["datagrams", "records", "byte-by-byte"]
)


@CARRIERS
@pytest.mark.parametrize("vector", each("handshake"))
def test_initiator(vector: Vector, stream: bool, bytewise: bool) -> None:
    """Client, with real decapsulation: what it sends is the vector's, byte for byte."""
    party = Initiating(vector, stream=stream, bytewise=bytewise)
    packets = {name: bytes.fromhex(packet) for name, packet in vector[party.packets].items()}
    assert party.begin() == [packets["initiation"]]
    if "finish" in packets:
        assert party.feed(packets["response"]) == [packets["finish"]]
        assert party.feed(packets["confirm"]) == [packets["close"]]
        (stored,) = party.seen(PairingStored)
        assert stored.pair_secret.hex() == vector["pair_secret"]
        assert stored.public.hex() == vector["responder"]["static_public"]
        assert party.seen(LinkDown)[-1].reason is DownReason.CLOSED
    else:
        assert party.feed(packets["response"]) == [packets["proof"]]
        assert party.feed(packets["answer"]) == []
        check_association(vector, party)


@CARRIERS
@pytest.mark.parametrize("vector", each("handshake"))
def test_responder(vector: Vector, stream: bool, bytewise: bool) -> None:
    """Listener and StreamServer, with the vector's encapsulation: likewise."""
    party = Responding(vector, stream=stream, bytewise=bytewise)
    packets = {name: bytes.fromhex(packet) for name, packet in vector[party.packets].items()}
    party.begin()
    assert party.feed(packets["initiation"]) == [packets["response"]]
    if "finish" in packets:
        assert party.feed(packets["finish"]) == [packets["confirm"]]
        (stored,) = party.seen(PairingStored)
        assert stored.pair_secret.hex() == vector["pair_secret"]
        assert stored.public.hex() == vector["initiator"]["static_public"]
        assert stored.counter == vector["initiation_counter"]
        assert party.feed(packets["close"]) == []
    else:
        assert party.feed(packets["proof"]) == [packets["answer"]]
        assert party.seen(PeerConfirmed)[-1].counter == vector["initiation_counter"]
        check_association(vector, party)


def check_association(vector: Vector, party: Initiating | Responding) -> None:
    (up,) = party.seen(LinkUp)
    assert up.channel_binding.hex() == chain_of(vector)[0]["channel_binding"]
    assert len(party.seen(Rekeyed)) == len(party.chain) - 1
    (connection,) = party.machine.connections()
    assert connection.is_open
    assert connection.sessions[0].epoch == vector["epoch"]
