"""Two handshakes wired back to back."""

from collections.abc import Iterator
from itertools import combinations

from protocols.crypto.agreements import StaticAgreements
from protocols.crypto.keys import KeySource, StaticKey, SystemKeySource
from protocols.noise import PATTERNS, HandshakeState, NoiseProtocol, Token

CHEAP = "25519_ChaChaPoly_BLAKE2s"
HYBRID = "25519+MLKEM768_ChaChaPoly_BLAKE2s"
PROLOGUE = b"prologue"


def psk(position: int) -> bytes:
    return bytes([position]) * 32


def party(
    protocol: NoiseProtocol,
    *,
    initiator: bool,
    s: StaticKey,
    peer: bytes,
    key_source: KeySource | None = None,
    agreements: StaticAgreements | None = None,
) -> HandshakeState:
    """One side, given everything that its pattern needs."""
    pattern = protocol.pattern
    knows = pattern.responder_pre if initiator else pattern.initiator_pre
    return HandshakeState(
        protocol,
        initiator=initiator,
        key_source=key_source or SystemKeySource(),
        prologue=PROLOGUE,
        s=s,
        rs=peer if knows else None,
        psks={position: psk(position) for position in pattern.psk_positions},
        agreements=agreements,
    )


def make_pair(name: str) -> tuple[HandshakeState, HandshakeState]:
    protocol = NoiseProtocol.parse(name)
    a, b = (SystemKeySource().dh_key(protocol.dh.name) for _ in range(2))
    return (
        party(protocol, initiator=True, s=a, peer=b.public),
        party(protocol, initiator=False, s=b, peer=a.public),
    )


def step(a: HandshakeState, b: HandshakeState, payload: bytes = b"") -> bytes:
    """Pass one message, whoever's turn it is; return it."""
    writer, reader = (a, b) if a.next_is_write else (b, a)
    message = writer.write_message(payload)
    assert reader.read_message(message) == payload
    return message


def finish(a: HandshakeState, b: HandshakeState) -> None:
    """Pass the remaining messages and check that both ends agree on everything."""
    while not a.is_finished:
        step(a, b, b"payload")
    assert b.is_finished
    assert not a.next_is_write
    assert not b.next_is_write
    assert a.handshake_hash == b.handshake_hash
    assert a.export_secret(b"info", 40) == b.export_secret(b"info", 40)
    for way, (mine, theirs) in enumerate(zip(a.split(), b.split(), strict=True)):
        if way == 1 and a.protocol.pattern.is_one_way:
            assert not mine.has_key
            assert not theirs.has_key
        else:
            assert theirs.decrypt_with_ad(b"ad", mine.encrypt_with_ad(b"ad", b"text")) == b"text"


def names_of(base: str) -> Iterator[str]:
    """A base pattern with every set of psk modifiers, without and with hfs."""
    messages = PATTERNS[base].messages
    positions = range(len(messages) + 1)
    hybrid = any(Token.EE in message for message in messages)
    for count in range(len(positions) + 1):
        for chosen in combinations(positions, count):
            psks = [f"psk{position}" for position in chosen]
            yield base + "+".join(psks)
            if hybrid:
                yield base + "+".join(["hfs", *psks])


def protocol_name(pattern: str) -> str:
    return f"Noise_{pattern}_{HYBRID if 'hfs' in pattern else CHEAP}"
