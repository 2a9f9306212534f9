"""How a right of the drone moves, and who may move it: two tables (specs/7-authority.md, 7.2).

Theory of operation. A right is free, held, or held and offered to one candidate. Every transition stands in
:data:`AUTHORITY`, and who may cause it in :data:`WHO`; a missing entry is the refusal (AU-5). The tables do not know
who the peers are, and both rights run through them alike.
"""

from collections.abc import Mapping
from enum import Enum, auto
from typing import Final

from specs.airlink.authority import AuthorityAction


class RightState(Enum):
    """Where a right stands."""

    FREE = auto()
    HELD = auto()
    OFFERED = auto()
    """Held, and its holder has offered it to one candidate."""


class RightEvent(Enum):
    """What moves a right: the requests of peers, and what happens by itself."""

    REQUEST = auto()
    OFFER = auto()
    ACCEPT = auto()
    DECLINE = auto()
    CANCEL = auto()
    RELEASE = auto()
    REVOKE = auto()
    OVERRIDE = auto()
    OFFER_OVER = auto()
    """The offer's time is over, or its candidate has gone."""
    HOLDER_SILENT = auto()
    """Nothing was heard of the holder for too long, and somebody waits (AU-8)."""
    HOLDER_REVOKED = auto()
    """The holder's pairing is revoked (AU-9)."""


_S, _E = RightState, RightEvent
AUTHORITY: Final[Mapping[tuple[RightState, RightEvent], RightState]] = {
    (_S.FREE, _E.REQUEST): _S.HELD,
    (_S.FREE, _E.OVERRIDE): _S.HELD,
    (_S.HELD, _E.REQUEST): _S.HELD,
    (_S.HELD, _E.OFFER): _S.OFFERED,
    (_S.HELD, _E.RELEASE): _S.FREE,
    (_S.HELD, _E.REVOKE): _S.FREE,
    (_S.HELD, _E.OVERRIDE): _S.HELD,
    (_S.HELD, _E.HOLDER_SILENT): _S.FREE,
    (_S.HELD, _E.HOLDER_REVOKED): _S.FREE,
    (_S.OFFERED, _E.REQUEST): _S.OFFERED,
    (_S.OFFERED, _E.OFFER): _S.OFFERED,
    (_S.OFFERED, _E.ACCEPT): _S.HELD,
    (_S.OFFERED, _E.DECLINE): _S.HELD,
    (_S.OFFERED, _E.CANCEL): _S.HELD,
    (_S.OFFERED, _E.RELEASE): _S.FREE,
    (_S.OFFERED, _E.REVOKE): _S.FREE,
    (_S.OFFERED, _E.OVERRIDE): _S.HELD,
    (_S.OFFERED, _E.OFFER_OVER): _S.HELD,
    (_S.OFFERED, _E.HOLDER_SILENT): _S.FREE,
    (_S.OFFERED, _E.HOLDER_REVOKED): _S.FREE,
}
"""State and what happens -> next state (AU-5)."""


class Who(Enum):
    """Who may cause something."""

    ELIGIBLE = auto()
    HOLDER = auto()
    CANDIDATE = auto()
    OWNER = auto()


WHO: Final[Mapping[AuthorityAction, Who]] = {
    AuthorityAction.REQUEST: Who.ELIGIBLE,
    AuthorityAction.OFFER: Who.HOLDER,
    AuthorityAction.ACCEPT: Who.CANDIDATE,
    AuthorityAction.DECLINE: Who.CANDIDATE,
    AuthorityAction.CANCEL: Who.HOLDER,
    AuthorityAction.RELEASE: Who.HOLDER,
    AuthorityAction.REVOKE: Who.OWNER,
    AuthorityAction.OVERRIDE: Who.OWNER,
}
"""Who may ask for what (AU-6); CANCEL is also for one's own wish, and OVERRIDE needs an eligible owner."""
