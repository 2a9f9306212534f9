"""Tables of the pages in specs/ that follow from the code: lengths of handshake messages, numbers, constants.

Every member of an enumeration of the wire needs a line of meaning here: without one the table cannot be made, and the
test of the pages fails.
"""

import ast
import hashlib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from enum import Enum
from functools import partial
from pathlib import Path
from typing import Final, TypeVar

import specs.registry
from nodes.relay.forwarder import WAYS
from protocols.admission import COMMANDS_MAVLINK, NEEDS, READ_ONLY_MAVLINK, Need
from protocols.channels import limits
from protocols.crypto.suites import SUITES
from protocols.events import BulkStatus
from protocols.failsafe import FAILSAFE
from protocols.link.handshake import COOKIE_REPLY_BYTES, REFUSED_BYTES, lengths
from protocols.link.pmtu import PMTU, PmtuEvent
from protocols.rights import AUTHORITY
from specs import airlink, groundlink, remotelink
from specs.airlink.numbers import Direction
from specs.airlink.table import MessageType
from specs.inner import MAX_ACK_RANGES, MAX_BUNDLE_MESSAGES, BulkDirection
from specs.registry import (
    CHANNELS,
    LINK_ROLES,
    ChannelClass,
    ChannelId,
    CloseCode,
    CommandFlags,
    HandshakeKind,
    InnerType,
    LinkType,
    PacketType,
    RefusalCode,
    RelayKind,
    RelayRefusal,
    RelaySide,
    Role,
)
from tests.tools import cloud_tables, measured

E = TypeVar("E", bound=Enum)
F = TypeVar("F", bound=Enum)
_REGISTRY: Final = Path(specs.registry.__file__)


def handshake_lengths() -> str:
    """Bytes of each datagram, and of the records without MACs."""
    lines = [
        "| suite | kind | payload of message 1 | initiation | response | finish | on TCP, without record header |",
        "|---|---|---|---|---|---|---|",
    ]
    for suite in SUITES.values():
        for kind in HandshakeKind:
            row = lengths(suite, kind)
            tcp = [row.initiation - 32, row.response - 16, row.finish - 16 if row.finish else 0]
            finish = str(row.finish) if row.finish else "-"
            bare = " / ".join(str(length) for length in tcp if length)
            lines.append(
                f"| {suite.id} | {kind.name} | {row.payload} | {row.initiation} | {row.response} | {finish} | {bare} |"
            )
    lines.append("")
    lines.append(f"A cookie reply has {COOKIE_REPLY_BYTES} bytes, a refusal {REFUSED_BYTES}.")
    return "\n".join(lines)


# --- enumerations -------------------------------------------------------------------------------

_PACKETS: Final = {
    PacketType.INITIATION: ("I to R", "I to R", "LK-10"),
    PacketType.RESPONSE: ("R to I", "R to I", "LK-11"),
    PacketType.COOKIE_REPLY: ("R to I", "never", "LK-24"),
    PacketType.DATA: ("both", "both", "LK-51, LK-53"),
    PacketType.FINISH: ("I to R", "I to R", "LK-11; message 3 of a pairing"),
    PacketType.REFUSED: ("R to I", "R to I", "LK-60"),
}
_KINDS: Final = {
    HandshakeKind.PAIRING: "`XXpsk0`, with a KEM `XXhfs+psk0`: first contact, by a linking code (2-pairing.md)",
    HandshakeKind.SESSION: "`IKpsk2`, with a KEM `IKhfs+psk2`: every session and every rekey",
}
_ROLES: Final = {
    Role.DRONE: "drone",
    Role.RC: "remote controller",
    Role.MOBILE: "mobile",
    Role.CLOUD: "cloud",
}
_LINK_TYPES: Final = {
    LinkType.AIRLINK: "4-airlink.md",
    LinkType.GROUNDLINK: "6-groundlink.md",
    LinkType.REMOTE_MOBILE: "over relays (5-relay.md); messages: 6-groundlink.md",
    LinkType.REMOTE_CLOUD: "over relays (5-relay.md); messages: 6-groundlink.md",
}
_REFUSALS: Final = {
    RefusalCode.VERSION: "the wire version is not spoken here",
    RefusalCode.SUITE: "the suite is not on the allow-list",
    RefusalCode.NOT_ALLOWED: "not paired, revoked, wrong role or link type: one code for all",
    RefusalCode.BUSY: "no room for another association",
}
_CLOSES: Final = {
    CloseCode.NORMAL: "the user has closed the link",
    CloseCode.GOING_AWAY: "the node ends",
    CloseCode.REPLACED: "the peer of this association has begun a new one (LK-73)",
    CloseCode.REVOKED: "the receiver's pairing has been revoked",
    CloseCode.PROTOCOL: "the receiver has broken the protocol (CH-1)",
    CloseCode.BUSY: "no room for this link any more",
    CloseCode.PAIRING_DONE: "pairing only, from the initiator: it has stored the pairing (PR-30)",
    CloseCode.PAIRING_REFUSED: "pairing only, from the responder: the try was refused (PR-36)",
}
_FRAMES: Final = {
    InnerType.CHANNEL: ("both", "a message, or a part of one, on a channel", "3.1 to 3.7"),
    InnerType.ACK: ("both", "what has arrived of a `command` channel", "CH-23"),
    InnerType.PING: ("both", "asks for a PONG", "CH-60"),
    InnerType.PONG: ("both", "answers a PING", "CH-60"),
    InnerType.REKEY_REQUEST: ("responder", "asks the initiator for a rekey", "CH-61"),
    InnerType.PATH_CHALLENGE: ("both", "asks who receives at an address", "CH-62"),
    InnerType.PATH_RESPONSE: ("both", "answers a PATH_CHALLENGE", "CH-62"),
    InnerType.CLOSE: ("both", "ends the link, or a pairing", "CH-63"),
    InnerType.PAIRING_CONFIRM: ("responder of a pairing", "the pairing is stored", "CH-64"),
    InnerType.BULK_ACK: ("receiver of the object", "what has arrived of a transfer", "CH-54"),
    InnerType.BULK_OFFER: ("sender of the object", "offers an object", "CH-50"),
    InnerType.BULK_ACCEPT: ("receiver of the object", "wants it, from an offset on", "CH-51"),
    InnerType.BULK_DONE: ("both", "a transfer is over", "CH-56"),
    InnerType.PADDING: ("both", "nothing", "CH-65"),
    InnerType.STREAM_BUNDLE: ("both", "several whole messages on a `stream` channel", "CH-43"),
    InnerType.PROBE: ("both", "asks whether a datagram of its size passes", "CH-66"),
    InnerType.PROBE_ACK: ("both", "answers a PROBE", "CH-66"),
}
_CLASSES: Final = {
    ChannelClass.CONTROL: "newest wins, with a lifetime (3.2)",
    ChannelClass.COMMAND: "reliable, ordered, exactly once, answered (3.3)",
    ChannelClass.STATE: "newest wins per key (3.4)",
    ChannelClass.STREAM: "unreliable, fragmented (3.5)",
    ChannelClass.BULK: "reliable transfers, resumable, hash-checked (3.6)",
    ChannelClass.RELAY: "datagrams of links between others (5-relay.md)",
}
_CHANNELS: Final = {
    ChannelId.CONTROL: "sticks, heartbeats",
    ChannelId.COMMAND: "requests and answers",
    ChannelId.TELEMETRY: "flight state, battery, position",
    ChannelId.VIDEO: "pictures",
    ChannelId.MAVLINK: "MAVLink frames",
    ChannelId.LOG: "recorded flights",
    ChannelId.RELAY: "links of others",
}
_FLAGS: Final = {
    CommandFlags.MORE: "another unit of the same message follows (CH-20)",
    CommandFlags.ANSWER: "the message answers the request named in `reply_to` (CH-21)",
}
_STATUSES: Final = {
    BulkStatus.OK: "from the receiver: the object is whole, and taken",
    BulkStatus.HASH_MISMATCH: "from the receiver: all bytes are there, and the SHA-256 is another",
    BulkStatus.CANCELLED: "from either side: given up",
    BulkStatus.REFUSED: "from the receiver: not wanted",
}
_RELAY_KINDS: Final = {
    RelayKind.OPEN: ("opener", "asks for a flow", "RL-1"),
    RelayKind.OPENED: ("answerer", "the other end takes it", "RL-2"),
    RelayKind.REFUSED: ("answerer", "there will be none", "RL-2"),
    RelayKind.CLOSED: ("both", "it is over, or was never known", "RL-5"),
    RelayKind.DATA: ("both", "a datagram, or a part of one", "RL-10"),
}
_RELAY_SIDES: Final = {
    RelaySide.OPENER: "the sender of the frame has opened the flow",
    RelaySide.ANSWERER: "the receiver of the frame has opened it",
}
_RELAY_REFUSALS: Final = {
    RelayRefusal.NOT_ALLOWED: "not for this neighbour, this link type or this destination: one code for all",
    RelayRefusal.NO_WAY: "the destination has no link to the relay now",
    RelayRefusal.BUSY: "as many flows as there may be",
}
_DIRECTIONS: Final = {
    BulkDirection.FROM_SENDER: "the sender of the object speaks; the only status is CANCELLED",
    BulkDirection.FROM_RECEIVER: "the receiver of the object speaks",
}


def _table(columns: Iterable[str], rows: Iterable[Iterable[object]]) -> str:
    head = list(columns)
    lines = [head, ["---"] * len(head), *([str(cell) for cell in row] for row in rows)]
    return "\n".join(f"| {' | '.join(line)} |" if line[0] != "---" else "|" + "---|" * len(line) for line in lines)


def _enumeration(texts: Mapping[E, str]) -> str:
    kind = type(next(iter(texts)))
    return _table(("number", "name", "meaning"), ((member.value, f"`{member.name}`", texts[member]) for member in kind))


def packet_types() -> str:
    """Number and way of each packet."""
    rows = ((int(kind), f"`{kind.name}`", *_PACKETS[kind]) for kind in PacketType)
    return _table(("number", "name", "datagrams", "records", "rule"), rows)


def inner_types() -> str:
    """Number of each frame, and who may send it."""
    rows = ((int(kind), f"`{kind.name}`", *_FRAMES[kind]) for kind in InnerType)
    return _table(("number", "name", "sent by", "meaning", "rule"), rows)


def link_types() -> str:
    """Number and roles of each link type."""
    rows = ((int(kind), f"`{kind.name}`", *(_roles(kind) or ("-", "-")), _LINK_TYPES[kind]) for kind in LinkType)
    return _table(("number", "name", "initiator", "responder", "page"), rows)


def _roles(kind: LinkType) -> tuple[str, str] | None:
    roles = LINK_ROLES.get(kind)
    return None if roles is None else (f"`{roles[0].name}`", f"`{roles[1].name}`")


def relay_kinds() -> str:
    """Number of each frame of a relay channel, and who may send it."""
    rows = ((int(kind), f"`{kind.name}`", *_RELAY_KINDS[kind]) for kind in RelayKind)
    return _table(("number", "name", "sent by", "meaning", "rule"), rows)


def relay_ways() -> str:
    """What a relay forwards from whom to whom."""
    rows = (
        (f"`{role.name}`", f"`{before.name}`", f"`{after.name}`", ", ".join(f"`{each.name}`" for each in sorted(types)))
        for role, ways in WAYS.items()
        for (before, after), types in ways.items()
    )
    return _table(("the relay is", "the opener is", "the next is", "link types"), rows)


def channel_table(link_type: LinkType) -> str:
    """The channel table of a link type, and what LK-12 makes of it."""
    rows = CHANNELS[link_type]
    encoded = b"".join(bytes((row.id, row.service)) for row in rows)
    table = _table(
        ("channel", "name", "class", "bytes"),
        (
            (int(row.id), f"`{row.id.name}`", f"`{row.service.name}`", f"`{row.id:02x} {row.service:02x}`")
            for row in rows
        ),
    )
    return f"{table}\n\nIts bytes: `{encoded.hex(' ')}`; their SHA-256: `{hashlib.sha256(encoded).hexdigest()}`."


def _messages(table: Mapping[int, MessageType]) -> str:
    """Number, way and channel of each message of a link."""
    ways = {Direction.UP: "up", Direction.DOWN: "down", Direction.UP | Direction.DOWN: "both"}
    rows = (
        (f"0x{number:04x}", row.format.type.__name__, ways[row.direction], row.channel.name.lower())
        for number, row in table.items()
    )
    return _table(("number", "message", "way", "channel"), rows)


# --- constants ----------------------------------------------------------------------------------

_SPECIFICATION: Final = {
    "WIRE_VERSION": "byte 1 of an initiation, and in the prologue",
    "PROLOGUE_LABEL": "LK-12",
    "LINKING_CODE_BYTES": "PR-1",
    "PAIR_SECRET_BYTES": "PR-11",
    "MAC_BYTES": "mac1, mac2, the mac of a refusal: LK-20, LK-21, LK-60",
    "COOKIE_BYTES": "LK-23",
    "COOKIE_SALT_BYTES": "LK-24",
    "COOKIE_LIFETIME_S": "LK-21, LK-23",
    "KEY_ID_BYTES": "LK-5",
    "CODE_LIFETIME_S": "PR-4",
    "CODE_TRIES": "PR-20",
    "MAX_HANDSHAKE_DATAGRAM_BYTES": "LK-14",
    "MIN_PATH_BYTES": "IP packet that suites without a KEM need; those with one need 1,500",
    "TAG_BYTES": "both ciphers",
    "DATA_HEADER_BYTES": "LK-51",
    "RECORD_HEADER_BYTES": "LK-53",
    "MAX_RECORD_PLAINTEXT_BYTES": "LK-53",
    "REPLAY_WINDOW": "LK-52",
    "REKEY_AFTER_MESSAGES": "LK-71; at most",
    "REKEY_AFTER_S": "LK-71; at most",
    "REKEY_AFTER_FAILED_OPENS": "LK-71; at most",
    "REFUSE_AFTER_MESSAGES": "LK-71; at most",
    "REFUSE_AFTER_S": "LK-71; at most",
    "OLD_KEY_RECEIVES_S": "LK-72",
    "AMPLIFICATION_LIMIT": "LK-81",
    "MAX_COMMAND_BYTES": "CH-20",
    "MAX_STREAM_MESSAGE_BYTES": "CH-41",
    "MAX_STREAM_FRAGMENTS": "CH-40",
    "MAX_BULK_NAME_BYTES": "CH-50",
    "RELAY_DATAGRAM_BYTES": "RL-30",
    "MAX_RELAY_DATAGRAM_BYTES": "RL-10",
    "MAX_RELAY_PARTS": "RL-10",
    "MAX_RELAY_PARTIALS": "RL-13",
    "RELAY_PARTIAL_S": "RL-13",
}
_ELSEWHERE: Final = (
    ("MAX_BUNDLE_MESSAGES", MAX_BUNDLE_MESSAGES, "CH-43: all empty, in the largest payload"),
    ("MAX_ACK_RANGES", MAX_ACK_RANGES, "CH-54"),
    ("COMMAND_WINDOW_UNITS", limits.COMMAND_WINDOW_UNITS, "CH-24"),
    ("MAX_STATE_KEYS", limits.MAX_STATE_KEYS, "CH-31"),
)
"""What both ends share and other modules hold."""
_IMPLEMENTATION: Final = {
    "DEFAULT_MAX_DATAGRAM_BYTES": "largest data datagram until more is known to pass (LK-85); any is received (LK-51)",
    "MAX_PROBED_DATAGRAM_BYTES": "LK-87",
    "MAX_PARTIAL_STREAM_MESSAGES": "CH-41",
    "MAX_BULK_BYTES": "largest object that is offered or accepted; a larger offer is answered with REFUSED",
    "MAX_PENDING_HANDSHAKES": "LK-27",
    "MAX_PENDING_PER_SOURCE": "LK-27",
    "MAX_UNAUTHENTICATED_STREAMS": "1.3, TCP",
    "HANDSHAKE_DEADLINE_S": "LK-27; deadline of a stream's handshake",
    "HANDSHAKE_RETRY_S": "LK-44: waits after the first, second ... initiation; then the attempt has timed out",
    "LOAD_INITIATIONS_PER_S": "LK-22",
    "SOURCE_INITIATIONS_PER_S": "LK-25",
    "SOURCE_INITIATIONS_BURST": "LK-25",
    "COUNTER_BLOCK": "LK-41: counters reserved by one write",
}


@dataclass(frozen=True, slots=True)
class Constant:
    """A number or label of registry.py."""

    name: str
    """As in registry.py."""
    value: bytes | float | tuple[float, ...]
    """Its value."""
    limit: bool
    """Whether it stands behind the banner of the implementation limits."""

    def shown(self) -> str:
        """Return the value as the pages write it, with its unit."""
        if isinstance(self.value, bytes):
            return f'"{self.value.decode("ascii")}"'
        numbers = self.value if isinstance(self.value, tuple) else (self.value,)
        unit = next((unit for ending, unit in _UNITS if self.name.endswith(ending)), "")
        return f"{', '.join(_number(each) for each in numbers)}{unit}"


_POWERS_FROM: Final = 21
"""Powers of two from here on are written as such."""
_UNITS: Final = (("_PER_S", " per second"), ("_BYTES", " bytes"), ("_S", " s"))


def _number(value: float) -> str:
    whole = int(value)
    assert whole == value
    power = whole.bit_length() - 1
    return f"2^{power}" if power >= _POWERS_FROM and whole == 1 << power else f"{whole:,}"


def constants() -> list[Constant]:
    """Return the constants of registry.py, in order; tables of rows are none."""
    source = _REGISTRY.read_text()
    banner = source[: source.index("# Implementation limits")].count("\n") + 1
    return [
        Constant(node.target.id, getattr(specs.registry, node.target.id), node.lineno > banner)
        for node in ast.parse(source).body
        if isinstance(node, ast.AnnAssign)
        and isinstance(node.target, ast.Name)
        and node.target.id not in {"AIRLINK_CHANNELS", "REMOTE_CHANNELS", "CHANNELS", "LINK_ROLES"}
    ]


def specification_constants() -> str:
    """What both ends share."""
    own = [(f"`{each.name}`", each.shown(), _SPECIFICATION[each.name]) for each in constants() if not each.limit]
    others = [(f"`{name}`", f"{value:,}", rule) for name, value, rule in _ELSEWHERE]
    return _table(("constant", "value", "rule"), own + others)


def implementation_limits() -> str:
    """What the reference implementation has chosen."""
    rows = [(f"`{each.name}`", each.shown(), _IMPLEMENTATION[each.name]) for each in constants() if each.limit]
    return _table(("limit", "value", "rule"), rows)


def path_mtu_states() -> str:
    """What the search for the path MTU does upon what."""
    rows = ((f"`{state.name}`", event.name.replace("_", " ").lower(), f"`{after.name}`")
            for (state, event), after in sorted(PMTU.items(), key=lambda row: [each.value for each in row[0]])
            if event is not PmtuEvent.START)  # fmt: skip
    return _table(("state", "event", "next"), rows)


def _transitions(table: Mapping[tuple[E, F], E]) -> str:
    """A state machine, as its page shows it."""
    ordered = sorted(table.items(), key=lambda row: [each.value for each in row[0]])
    rows = ((f"`{state.name}`", event.name.replace("_", " ").lower(), f"`{after.name}`")
            for (state, event), after in ordered)  # fmt: skip
    return _table(("state", "event", "next"), rows)


_NEEDS: Final = {
    Need.NOTHING: "nothing",
    Need.FLIGHT: "the flight right",
    Need.PAYLOAD: "the payload right",
    Need.FLIGHT_OR_READ_ONLY: "the flight right, unless it only reads (AU-21)",
    Need.CLOUD: "the role of the cloud (AU-24)",
    Need.NEVER: "refused: it means nothing to a drone",
}


def authority_needs() -> str:
    """What the sender of each message that travels up must have."""
    return _table(("message", "needs"), ((f"`{message.__name__}`", _NEEDS[need]) for message, need in NEEDS.items()))


def mavlink_read_only() -> str:
    """MAVLink messages that need no right."""
    return _table(("id", "message"), ((number, f"`{name}`") for number, name in READ_ONLY_MAVLINK.items()))


def mavlink_commands() -> str:
    """MAVLink commands by which a holder says what the vehicle is to do."""
    return _table(("command", "name"), ((number, f"`{name}`") for number, name in COMMANDS_MAVLINK.items()))


TABLES: dict[str, Callable[[], str]] = {
    "handshake-lengths": handshake_lengths,
    "packet-types": packet_types,
    "handshake-kinds": partial(_enumeration, _KINDS),
    "roles": partial(_enumeration, _ROLES),
    "link-types": link_types,
    "refusal-codes": partial(_enumeration, _REFUSALS),
    "close-codes": partial(_enumeration, _CLOSES),
    "inner-types": inner_types,
    "channel-classes": partial(_enumeration, _CLASSES),
    "channel-ids": partial(_enumeration, _CHANNELS),
    "airlink-channels": partial(channel_table, LinkType.AIRLINK),
    "remote-channels": partial(channel_table, LinkType.REMOTE_MOBILE),
    "relay-kinds": relay_kinds,
    "relay-sides": partial(_enumeration, _RELAY_SIDES),
    "relay-refusals": partial(_enumeration, _RELAY_REFUSALS),
    "relay-ways": relay_ways,
    "airlink-messages": partial(_messages, airlink.MESSAGES),
    "groundlink-messages": partial(_messages, groundlink.MESSAGES),
    "remote-mobile-messages": partial(_messages, remotelink.MOBILE_MESSAGES),
    "remote-cloud-messages": partial(
        _messages,
        {number: row for number, row in remotelink.CLOUD_MESSAGES.items() if number not in remotelink.MOBILE_MESSAGES},
    ),
    "authority-states": partial(_transitions, AUTHORITY),
    "authority-needs": authority_needs,
    "mavlink-read-only": mavlink_read_only,
    "mavlink-commands": mavlink_commands,
    "failsafe-states": partial(_transitions, FAILSAFE),
    "command-flags": partial(_enumeration, _FLAGS),
    "bulk-status": partial(_enumeration, _STATUSES),
    "bulk-directions": partial(_enumeration, _DIRECTIONS),
    "specification-constants": specification_constants,
    "implementation-limits": implementation_limits,
    "path-mtu-states": path_mtu_states,
    "performance-figures": measured.figures,
    "performance-more": measured.further,
    "performance-budget": measured.budget,
    "performance-sizes": partial(measured.sweep, "sweep-message-sizes"),
    "performance-links": partial(measured.sweep, "sweep-link-counts"),
    "performance-machine": measured.machine,
    "performance-beside": partial(
        measured.chosen,
        "udp-message-vs-trio-dtls",
        "udp-message-vs-pymavlink-signing",
        "udp-bulk-vs-wireguard-go",
        "rtt-vs-trio-plaintext",
    ),
    "cloudlink-maps": cloud_tables.map_keys,
    "cloudlink-routes": cloud_tables.routes,
}
"""Name in ``<!-- table: NAME -->`` -> what is written there."""
