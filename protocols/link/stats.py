"""Typed counters of a connection and of a listener: what an operator sees, and what tests ask for."""

from dataclasses import dataclass, fields, replace

from protocols.channels import ChannelsStats


@dataclass(slots=True)
class LinkCounters:
    """What one connection counts; everything from 0."""

    packets_sent: int = 0
    """Sealed datagrams or records."""
    packets_received: int = 0
    """Opened datagrams or records."""
    bytes_sent: int = 0
    """Bytes on the carrier, headers and tags included."""
    bytes_received: int = 0
    """Likewise, of what opened."""
    failed_opens: int = 0
    """Tags that did not verify."""
    replays: int = 0
    """Counters seen before, or too old."""
    rekeys: int = 0
    """New keys since the first."""
    moves: int = 0
    """Times that the peer's address changed and the new path was validated (LK-82)."""
    moves_refused: int = 0
    """Times that another address brought the newest datagram while the old path was alive."""
    paths_unanswered: int = 0
    """Candidates that never answered their challenge."""


@dataclass(frozen=True, slots=True)
class LinkStats:
    """A snapshot of one connection."""

    link: LinkCounters
    """The connection's own counters."""
    channels: ChannelsStats
    """Per class of service."""
    rtt_s: float | None
    """Smoothed round trip, None before the first sample."""
    datagram_bytes: int | None = None
    """Largest protected datagram that data may use now (LK-85); None on a stream."""


@dataclass(slots=True)
class HandshakeCounters:
    """What a machine counts of handshakes; everything from 0."""

    initiations: int = 0
    """Initiations that arrived."""
    malformed: int = 0
    """Packets that are no message of ours: type, header, length."""
    wrong_mac1: int = 0
    """Handshake messages whose mac1 is wrong: strangers."""
    pairing_closed: int = 0
    """Pairing initiations while no code was active."""
    wrong_mac2: int = 0
    """Initiations under load without a valid cookie."""
    cookies_sent: int = 0
    """Cookie replies."""
    rate_limited: int = 0
    """Initiations above their source's rate."""
    duplicates: int = 0
    """Identical initiations answered from the cache, or dropped while in work."""
    public_key_jobs: int = 0
    """Public-key operations started for incoming messages."""
    failed: int = 0
    """Handshake messages that did not decrypt, or whose payload was wrong."""
    stale_counters: int = 0
    """Replayed initiations, found by their counter (LK-42)."""
    refused: int = 0
    """Handshakes that policy refused."""
    evicted: int = 0
    """Pending handshakes that gave way to newer ones."""
    expired: int = 0
    """Pending handshakes that were never confirmed."""
    confirmed: int = 0
    """Handshakes that the peer proved live."""
    unknown_index: int = 0
    """Packets for an index that is nobody's."""
    paired: int = 0
    """Pairings that were stored."""
    replies_dropped: int = 0
    """Answers that did not fit the queue while the carrier could not send."""
    tries_refused: int = 0
    """Pairing tries that were refused (PR-20)."""

    def snapshot(self) -> "HandshakeCounters":
        """Return a copy that does not move."""
        return replace(self)

    def as_dict(self) -> dict[str, int]:
        """Return name and count of each."""
        return {field.name: getattr(self, field.name) for field in fields(self)}
