"""Frames of a `relay` channel (specs/5-relay.md): flows between others, and their datagrams.

Each begins as every ``CHANNEL`` frame does: the kind and the side stand in ``key``, the flow in ``sequence``. They
are fixed-width, so that ``codec`` can make a ``struct.Struct`` of each; a datagram's part follows its header.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import construct

from specs.registry import (
    KEY_ID_BYTES,
    MAX_RELAY_PARTS,
    ChannelId,
    InnerType,
    LinkType,
    RelayKind,
    RelayRefusal,
    RelaySide,
)
from specs.strict import Format, exact_enum, fixed_bytes, ranged, u8, u16, u32

if TYPE_CHECKING:
    from construct import Construct


def _head(kind: RelayKind, side: RelaySide | None = None) -> "tuple[Construct[Any, Any], ...]":
    """What every frame has in front; a side that follows from the kind is a constant."""
    return (
        construct.Const(int(InnerType.CHANNEL), u8),
        "channel" / exact_enum(u8, ChannelId),
        construct.Const(int(kind), u8),
        "side" / exact_enum(u8, RelaySide) if side is None else construct.Const(int(side), u8),
        "flow" / u32,
    )


@dataclass(frozen=True, slots=True)
class RelayOpenFrame:
    """Asks for a flow (RL-1)."""

    channel: ChannelId
    """A channel of class ``relay``."""
    flow: int
    """The opener's number for it."""
    destination: bytes
    """Key id of the node at the other end."""
    link_type: LinkType
    """What link will run in it."""


RELAY_OPEN: Final = Format(
    "relay open",
    RelayOpenFrame,
    construct.Struct(
        *_head(RelayKind.OPEN, RelaySide.OPENER),
        "destination" / fixed_bytes(KEY_ID_BYTES),
        "link_type" / exact_enum(u8, LinkType),
    ),
)


@dataclass(frozen=True, slots=True)
class RelayOpenedFrame:
    """The other end takes the flow (RL-2)."""

    channel: ChannelId
    """A channel of class ``relay``."""
    flow: int
    """The number that the receiver of this frame gave it."""


RELAY_OPENED: Final = Format(
    "relay opened", RelayOpenedFrame, construct.Struct(*_head(RelayKind.OPENED, RelaySide.ANSWERER))
)


@dataclass(frozen=True, slots=True)
class RelayRefusedFrame:
    """There will be no such flow (RL-2)."""

    channel: ChannelId
    """A channel of class ``relay``."""
    flow: int
    """The number that the receiver of this frame gave it."""
    code: RelayRefusal
    """Why, coarsely."""


RELAY_REFUSED: Final = Format(
    "relay refused",
    RelayRefusedFrame,
    construct.Struct(*_head(RelayKind.REFUSED, RelaySide.ANSWERER), "code" / exact_enum(u8, RelayRefusal)),
)


@dataclass(frozen=True, slots=True)
class RelayClosedFrame:
    """The flow is over, or was never known (RL-5)."""

    channel: ChannelId
    """A channel of class ``relay``."""
    side: RelaySide
    """Who says so."""
    flow: int
    """The opener's number."""


RELAY_CLOSED: Final = Format("relay closed", RelayClosedFrame, construct.Struct(*_head(RelayKind.CLOSED)))


@dataclass(frozen=True, slots=True)
class RelayDataHeader:
    """Header of a datagram, or of a part of one (RL-10); its bytes follow."""

    channel: ChannelId
    """A channel of class ``relay``."""
    side: RelaySide
    """Who sends it."""
    flow: int
    """The opener's number."""
    id: int
    """Says which parts belong together; 0 of a datagram that is whole."""
    index: int
    """Number of this part, less than ``count``."""
    count: int
    """Parts of the datagram."""


RELAY_DATA_HEADER: Final = Format(
    "relay data header",
    RelayDataHeader,
    construct.Struct(
        *_head(RelayKind.DATA),
        "id" / u16,
        "index" / ranged(u8, 0, MAX_RELAY_PARTS - 1),
        "count" / ranged(u8, 1, MAX_RELAY_PARTS),
    ),
)
