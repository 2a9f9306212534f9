"""What needs a person, once: a linking code that is shown or was typed, a token of the cloud; and who is paired."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Final

import trio

from nodes.ports import PeerDirectory
from protocols.errors import ConfigError, FlowRefusedError
from protocols.link.peers import PeerRecord, PeerState
from protocols.pairing import LinkingCode
from specs.registry import LinkType, Role

_AGAIN_S: Final = 0.2
SHOWS: Final = {
    Role.DRONE: {
        Role.RC: LinkType.AIRLINK,
        Role.MOBILE: LinkType.REMOTE_MOBILE,
        Role.CLOUD: LinkType.REMOTE_CLOUD,
    },
    Role.RC: {Role.MOBILE: LinkType.GROUNDLINK},
}
"""Who shows a linking code to whom, and for which link."""
ASKS: Final = {
    Role.RC: (Role.DRONE,),
    Role.MOBILE: (Role.RC, Role.DRONE),
    Role.CLOUD: (Role.DRONE,),
}
"""Who asks for the linking code of whom."""


@dataclass(frozen=True, slots=True)
class Errands:
    """What is to be done once."""

    shows: tuple[Role, ...] = ()
    """Show a linking code for a device of each of these roles."""
    asks: Role | None = None
    """Pair with a device of this role."""
    code: LinkingCode | None = None
    """The code that it shows."""
    drone_id: bytes | None = None
    """Key id of the drone to pair with over relays; a mobile learns it from its remote controller."""
    token: str | None = field(default=None, repr=False)
    """With which to enrol at the cloud."""
    on_code: Callable[[Role, LinkingCode, bytes], None] = lambda _role, _code, _own: None
    """Shows a code, and our key id, to the person in front of us."""


def show_codes(errands: Errands, make: Callable[[LinkType], LinkingCode], role: Role, own: bytes) -> None:
    for peer in errands.shows:
        errands.on_code(peer, make(SHOWS[role][peer]), own)


async def through(pair: Callable[[], Awaitable[PeerRecord]]) -> PeerRecord:
    """Pair over relays as soon as there is a way."""
    while True:
        try:
            return await pair()
        except FlowRefusedError:
            await trio.sleep(_AGAIN_S)


async def only(peers: PeerDirectory, role: Role) -> PeerRecord:
    """Return the one peer of a role; ConfigError."""
    found = await one_or_none(peers, role)
    if found is None:
        name = role.name.lower()
        raise ConfigError(f"this node is not paired with {name}: start it once with --pair {name}")
    return found


async def one_or_none(peers: PeerDirectory, role: Role) -> PeerRecord | None:
    found = [each for each in await peers.all() if each.role is role and each.state is not PeerState.REVOKED]
    if len(found) > 1:
        name = role.name.lower()
        raise ConfigError(f"this node is paired with {len(found)} devices of role {name}: forget all but one")
    return found[0] if found else None
