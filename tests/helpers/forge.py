"""Handshake messages by hand: what an attacker with some of the keys can make, and what no honest end would."""

from dataclasses import dataclass

from protocols import codec
from protocols.crypto.keys import StaticKey, SystemKeySource
from protocols.crypto.suites import Suite
from protocols.guards import cookie as guard
from protocols.link.handshake import NO_ASSOCIATION, PSK_POSITION, Offer, SessionKeys, lengths, session_keys
from protocols.link.session import DatagramSession
from protocols.noise import HandshakeState
from protocols.pairing import LinkingCode
from specs.datagram import INITIATION_HEADER, RESPONSE_HEADER, InitiationHeader, ReplyHeader
from specs.registry import MAC_BYTES, HandshakeKind, LinkType, Role
from tests.helpers.devices import config

MACS = 2 * MAC_BYTES


def remac(datagram: bytes, secret: bytes) -> bytes:
    """Give an initiation another mac1, as whoever knows the responder's public key (or the code) can."""
    body = datagram[:-MACS]
    return body + guard.mac1(guard.mac1_key(secret), body) + bytes(MAC_BYTES)


def remac_reply(datagram: bytes, key: bytes) -> bytes:
    """Give a response, a finish or a refusal another mac1; ``key`` is the key of that MAC itself."""
    body = datagram[:-MAC_BYTES]
    return body + guard.mac1(key, body)


@dataclass
class Forged:
    """An initiation, and the handshake behind it."""

    datagram: bytes
    noise: HandshakeState
    suite: Suite
    sender: int

    def session(self, response: bytes, pair_secret: bytes, now: float) -> DatagramSession:
        """Read the response, and return the keys."""
        header = codec.parse_untrusted(RESPONSE_HEADER, response[:12])
        assert isinstance(header, ReplyHeader)
        self.noise.set_psk(2, pair_secret)
        self.noise.read_message(response[12:-MAC_BYTES])
        keys: SessionKeys = session_keys(self.noise, self.suite, initiator=True)
        return DatagramSession(
            keys, config(self.suite), index=self.sender, peer_index=header.sender, epoch=0, now=now
        )  # fmt: skip


def forge(
    suite: Suite,
    static: StaticKey,
    responder: bytes,
    *,
    counter: int = 1,
    sender: int = 0x0EBE_0EBE,
    inner: bytes | None = None,
    kind: HandshakeKind = HandshakeKind.SESSION,
    code: LinkingCode | None = None,
    continues: int = 0,
    association: bytes = NO_ASSOCIATION,
) -> Forged:
    """Make an initiation from whatever keys are at hand. ``inner`` replaces the payload of message 1."""
    offer = Offer(suite, kind, LinkType.AIRLINK, association)
    noise = HandshakeState(
        offer.noise(),
        initiator=True,
        key_source=SystemKeySource(),
        prologue=offer.prologue(),
        s=static,
        rs=None if code else responder,
        psks={PSK_POSITION[kind]: code.psk0()} if code else {},
    )
    payload = counter.to_bytes(8, "big") + sender.to_bytes(4, "big") if inner is None else inner
    header = InitiationHeader(1, suite.id, kind, sender, LinkType.AIRLINK, Role.RC, Role.DRONE, continues)
    body = codec.build(INITIATION_HEADER, header)
    body += noise.write_message(payload.ljust(lengths(suite, kind).payload, b"\0"))
    return Forged(remac(body + bytes(MACS), code.secret if code else responder), noise, suite, sender)
