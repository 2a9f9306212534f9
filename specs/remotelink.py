"""The messages of the end-to-end links mobile to drone and cloud to drone (specs/6-groundlink.md, 6.2).

What the airlink has, without pictures and logs; and, for the cloud only, what concerns keys and logs.
"""

from dataclasses import dataclass
from typing import Any, Final

from construct import Struct

from specs import airlink
from specs.airlink.numbers import KEY_ID, Direction, MessageId, numbered
from specs.airlink.table import MessageType
from specs.strict import Format, bounded_bytes, fixed_bytes, reserved, u16

MAX_PUBLIC_KEY_BYTES: Final = 4_096
FLIGHT_ID_BYTES: Final = 16


@dataclass(frozen=True, slots=True)
class SealingKeys:
    """To the drone: seal flight logs to this key of the cloud's from now on."""

    hpke_public: bytes
    """The cloud's HPKE public key, as specs/8-sealed-logs.md writes it."""


SEALING_KEYS: Final = Format(
    "sealing keys",
    SealingKeys,
    Struct(numbered(MessageId.SEALING_KEYS), "hpke_public" / bounded_bytes(u16, MAX_PUBLIC_KEY_BYTES, 1)),
)


@dataclass(frozen=True, slots=True)
class VerifyingKeys:
    """The answer: the drone signs its flight logs with the private keys of these."""

    ecdsa_public: bytes
    """ECDSA P-256, as specs/8-sealed-logs.md writes it."""
    mldsa_public: bytes
    """ML-DSA-65, as specs/8-sealed-logs.md writes it."""


VERIFYING_KEYS: Final = Format(
    "verifying keys",
    VerifyingKeys,
    Struct(
        numbered(MessageId.VERIFYING_KEYS),
        "ecdsa_public" / bounded_bytes(u16, MAX_PUBLIC_KEY_BYTES, 1),
        "mldsa_public" / bounded_bytes(u16, MAX_PUBLIC_KEY_BYTES, 1),
    ),
)


@dataclass(frozen=True, slots=True)
class LogReceipt:
    """To the drone: the cloud has this flight log, verified, unsealed and stored; it need not be kept."""

    flight_id: bytes
    """Which flight."""
    sha256: bytes
    """SHA-256 of the sealed log as it arrived."""


LOG_RECEIPT: Final = Format(
    "log receipt",
    LogReceipt,
    Struct(
        numbered(MessageId.LOG_RECEIPT),
        reserved(2),
        "flight_id" / fixed_bytes(FLIGHT_ID_BYTES),
        "sha256" / fixed_bytes(32),
    ),
)


@dataclass(frozen=True, slots=True)
class RevokePeer:
    """To the drone: this device is not to be trusted any more."""

    peer: bytes
    """Its key id."""


REVOKE_PEER: Final = Format(
    "revoke peer", RevokePeer, Struct(numbered(MessageId.REVOKE_PEER), reserved(2), "peer" / KEY_ID)
)

_SHARED: Final = (
    MessageId.STICKS,
    MessageId.HEARTBEAT,
    MessageId.COMMAND,
    MessageId.GO_TO,
    MessageId.CAMERA_CONTROL,
    MessageId.CHANGE_SETTINGS,
    MessageId.AUTHORITY_REQUEST,
    MessageId.ANSWER,
    MessageId.FLIGHT_STATE,
    MessageId.BATTERY,
    MessageId.GNSS,
    MessageId.CAMERA,
    MessageId.HOME,
    MessageId.SETTINGS,
    MessageId.AUTHORITY_STATE,
    MessageId.MAVLINK_FRAME,
)
_OF_THE_CLOUD: Final = (
    MessageType(MessageId.SEALING_KEYS, SEALING_KEYS, Direction.UP),
    MessageType(MessageId.LOG_RECEIPT, LOG_RECEIPT, Direction.UP),
    MessageType(MessageId.REVOKE_PEER, REVOKE_PEER, Direction.UP),
    MessageType(MessageId.VERIFYING_KEYS, VERIFYING_KEYS, Direction.DOWN),
)

MOBILE_MESSAGES: Final[dict[int, MessageType]] = {number: airlink.MESSAGES[number] for number in _SHARED}
"""Every message of a link of type REMOTE_MOBILE, by its number."""

CLOUD_MESSAGES: Final[dict[int, MessageType]] = {**MOBILE_MESSAGES, **{row.id: row for row in _OF_THE_CLOUD}}
"""Every message of a link of type REMOTE_CLOUD, by its number."""

FORMATS: Final[tuple[Format[Any], ...]] = tuple(row.format for row in _OF_THE_CLOUD)
"""The formats that are not the airlink's, in the order of the page."""
