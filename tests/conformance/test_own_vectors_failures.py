"""specs/vectors/handshake-failure.json: each packet is refused for its reason, and changes nothing (LK-16)."""

from collections.abc import Callable
from typing import Any

import pytest

from protocols.errors import AerolinkError, BadPublicKeyError, DecryptError, MalformedError
from protocols.link.handshake import (
    INITIATION_HEADER_BYTES,
    REPLY_HEADER_BYTES,
    check_response_payload_untrusted,
    read_initiation_payload_untrusted,
)
from protocols.noise import HandshakeState
from tests.conformance.test_own_vectors import noise
from tests.tools.own_vectors import EXPECTS, Vector, each, everything, named
from tests.tools.replay import CONFIG, Initiating, Party, Responding

COUNTERS = {
    "mac1": "wrong_mac1",
    "length": "malformed",
    "header": "malformed",
    "reserved bits": "malformed",
    "unknown type": "malformed",
    "unknown index": "unknown_index",
    "version": "refused",
    "suite": "refused",
    "not allowed": "refused",
    "decrypt": "failed",
    "bad key": "failed",
    "sender index": "failed",
    "padding": "failed",
    "counter": "failed",
    "reflection": "failed",
    "old counter": "stale_counters",
    "pairing closed": "pairing_closed",
}
"""Which counter of the machine goes up by one: all others stay, but for those of work that was begun."""
WORK = {"initiations", "public_key_jobs"}
LASTING = {"old counter", "reflection", "pairing closed"}
"""After these the right packet is refused too: it is the same, or the handshake is over."""
NOISE: dict[str, type[AerolinkError]] = {
    "decrypt": DecryptError,
    "bad key": BadPublicKeyError,
    "sender index": MalformedError,
    "padding": MalformedError,
    "counter": MalformedError,
}


def test_every_expectation_is_known_and_used() -> None:
    assert COUNTERS.keys() == EXPECTS["handshake-failure"]
    assert {vector["expect"] for vector in everything()["handshake-failure"]} == COUNTERS.keys()


def receiver_of(vector: Vector, *, stream: bool) -> Party:
    """Return the machine that waits for the vector's packet."""
    base = named("handshake", vector["handshake"])
    if vector["message"] == "response":
        initiating = Initiating(base, stream=stream)
        initiating.begin()
        return initiating
    number = base["responder"]["index"]
    confirmed = vector.get("confirmed_counter", 0)
    responding = Responding(base, stream=stream, indices=[number], confirmed=confirmed, again=2, config=CONFIG)
    responding.begin()
    if vector["message"] == "finish":
        responding.feed(bytes.fromhex(base[responding.packets]["initiation"]))
    if not vector.get("pairing_open", True):
        responding.machine.close_pairing()
    return responding


def refuse(vector: Vector, party: Party, packet: str, answer: str | None, counter: str) -> None:
    """Feed the packet: one counter moves, nothing else happens, nothing but a hint or a cookie goes out."""
    before = party.machine.handshakes.as_dict()
    events = len(party.events)
    assert party.feed(bytes.fromhex(packet)) == ([bytes.fromhex(answer)] if answer else [])
    after = party.machine.handshakes.as_dict()
    assert {name for name in after if after[name] != before[name]} - WORK == {counter}
    assert after[counter] == before[counter] + 1
    assert len(party.events) - events <= (2 if party.stream or vector["expect"] in LASTING else 0) + 1


@pytest.mark.parametrize("vector", each("handshake-failure"))
def test_datagram(vector: Vector) -> None:
    """Listener and Client drop it for its reason, and the right packet is still welcome."""
    party = receiver_of(vector, stream=False)
    refuse(vector, party, vector["datagram"], vector.get("answer_datagram"), COUNTERS[vector["expect"]])
    if vector["expect"] in LASTING:
        return
    packets = named("handshake", vector["handshake"])["datagrams"]
    followed = {"initiation": "response", "response": "finish" if "finish" in packets else "proof", "finish": "confirm"}
    assert party.feed(bytes.fromhex(packets[vector["message"]])) == [
        bytes.fromhex(packets[followed[vector["message"]]])
    ]


@pytest.mark.parametrize("vector", [each_ for each_ in each("handshake-failure") if "record" in each_.values[0]])
def test_record(vector: Vector) -> None:
    """StreamServer and Client refuse it too: there are no MACs, and nobody is up."""
    party = receiver_of(vector, stream=True)
    counter = COUNTERS[vector["expect"]]
    if vector["expect"] == "unknown index" and vector["message"] != "response":
        counter = "malformed"  # one stream, one handshake: an index that is not its own is no packet of ours
    refuse(vector, party, vector["record"], vector.get("answer_record"), counter)


def packets_of(vector: Vector) -> tuple[bytes, bytes, int, int]:
    """Return the bad datagram, the good one, and the sizes of header and MACs."""
    good = named("handshake", vector["handshake"])["datagrams"][vector["message"]]
    size, macs = (INITIATION_HEADER_BYTES, 32) if vector["message"] == "initiation" else (REPLY_HEADER_BYTES, 16)
    return bytes.fromhex(vector["datagram"]), bytes.fromhex(good), size, macs


def reaches_noise(vector: Vector) -> bool:
    """Whether it is the handshake that refuses the message, rather than what stands before it."""
    packet, good, size, _ = packets_of(vector)
    lies = vector["message"] == "response" and vector["expect"] == "sender index"
    return vector["expect"] in NOISE and (packet[:size] == good[:size] or lies)


def read(vector: Vector, state: HandshakeState, message: bytes, head: bytes) -> None:
    sender = int.from_bytes(head[4:8], "big")
    payload = state.read_message(message)
    if vector["message"] == "response":
        check_response_payload_untrusted(payload, sender)
    elif vector["message"] == "initiation":
        read_initiation_payload_untrusted(payload, sender)
        if not state.protocol.name.startswith("Noise_IK"):
            state.write_message(bytes(4))  # the first agreement of a pairing is in message 2


@pytest.mark.parametrize("vector", [each_ for each_ in each("handshake-failure") if reaches_noise(each_.values[0])])
def test_noise(vector: Vector) -> None:
    """The state machine names the precise reason."""
    base = named("handshake", vector["handshake"])
    packet, good, size, macs = packets_of(vector)
    state = noise(base, "initiator" if vector["message"] == "response" else "responder")
    steps: dict[str, Callable[[], Any]] = {
        "initiation": lambda: None,
        "response": lambda: state.write_message(bytes.fromhex(base["payloads"][0])),
        "finish": lambda: (
            state.read_message(bytes.fromhex(base["messages"][0])),
            state.write_message(bytes.fromhex(base["payloads"][1])),
        ),
    }
    steps[vector["message"]]()
    with pytest.raises(NOISE[vector["expect"]]) as caught:
        read(vector, state.copy(), packet[size:-macs], packet[:size])
    assert type(caught.value) is NOISE[vector["expect"]]
    read(vector, state, good[size:-macs], good[:size])


def test_the_harness_sees_a_packet_that_is_not_refused() -> None:
    """A vector whose packet is the good one must not pass."""
    vector = everything()["handshake-failure"][0]
    base = named("handshake", vector["handshake"])
    harmless = vector | {"datagram": base["datagrams"][vector["message"]]}
    with pytest.raises(AssertionError):
        test_datagram(harmless)
