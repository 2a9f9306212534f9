"""Messages about who may command the drone: the request, and how things stand (specs/4-airlink.md, 4.3 and 4.4).

What follows from them: specs/7-authority.md.
"""

from dataclasses import dataclass
from enum import IntEnum
from typing import Final

from construct import Struct

from specs.airlink.numbers import KEY_ID, NOBODY, MessageId, numbered
from specs.strict import Format, exact_enum, u8, u32


class Right(IntEnum):
    """What a peer may be allowed to do; each right has one holder, or none."""

    FLIGHT = 1
    """Sticks, commands, places, settings, MAVLink frames."""
    PAYLOAD = 2
    """The camera."""


class AuthorityAction(IntEnum):
    """What can be asked for (specs/7-authority.md says what follows)."""

    REQUEST = 1
    """Give me the right, if nobody has it; otherwise let its holder know that I wait for it."""
    OFFER = 2
    """From the holder: ``peer`` may take it over."""
    ACCEPT = 3
    """From that peer: I take it over from the holder ``peer``."""
    DECLINE = 4
    """From that peer: I do not."""
    CANCEL = 5
    """From the holder: the offer is withdrawn. From one who waits: I wait no longer."""
    RELEASE = 6
    """From the holder: I give it up."""
    REVOKE = 7
    """From the owner: nobody holds it from now on."""
    OVERRIDE = 8
    """From the owner: I hold it from now on."""


@dataclass(frozen=True, slots=True)
class AuthorityRequest:
    """Change who holds a right."""

    action: AuthorityAction
    """How."""
    right: Right
    """Which."""
    peer: bytes = NOBODY
    """Key id of the other one: to whom it is offered, or whose offer is accepted. Zeros in every other action."""


AUTHORITY_REQUEST: Final = Format(
    "authority request",
    AuthorityRequest,
    Struct(
        numbered(MessageId.AUTHORITY_REQUEST),
        "action" / exact_enum(u8, AuthorityAction),
        "right" / exact_enum(u8, Right),
        "peer" / KEY_ID,
    ),
)


@dataclass(frozen=True, slots=True)
class AuthorityState:
    """Who holds what. Key ids; zeros: nobody."""

    flight_waiting: int
    """How many wait for the flight right, at most 255."""
    payload_waiting: int
    """How many wait for the payload right, at most 255."""
    changes: int
    """How often anything of this has changed since switch-on, modulo 2^32."""
    flight_holder: bytes
    """Who may fly."""
    flight_candidate: bytes
    """Whom the holder has offered it to."""
    payload_holder: bytes
    """Who may use the camera."""
    payload_candidate: bytes
    """Whom the holder has offered it to."""


AUTHORITY_STATE: Final = Format(
    "authority state",
    AuthorityState,
    Struct(
        numbered(MessageId.AUTHORITY_STATE),
        "flight_waiting" / u8,
        "payload_waiting" / u8,
        "changes" / u32,
        "flight_holder" / KEY_ID,
        "flight_candidate" / KEY_ID,
        "payload_holder" / KEY_ID,
        "payload_candidate" / KEY_ID,
    ),
)
