"""What needs a person, once: a linking code that is shown or was typed, a token of the cloud; and who is paired."""

from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Final

import trio

from nodes.ports import PeerDirectory
from nodes.responding import Responding
from protocols.errors import ConfigError, FlowRefusedError
from protocols.link.peers import PeerRecord, PeerState
from protocols.pairing import LinkingCode
from specs.registry import LinkType, Role

_AGAIN_S: Final = 0.2
Tell = Callable[[str], None]
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
    """Show a linking code for a device of each of these roles; twice the same are two devices."""
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
    renews: bool = False
    """Show a new code when one has ended and nobody has used it: somebody is waited for."""


def show_codes(errands: Errands, node: Responding, tell: Tell, nursery: trio.Nursery) -> None:
    """Show the linking codes: of one role the next when the one before was used (PR-5)."""
    for peer, count in Counter(errands.shows).items():
        _show_code(errands, node, peer)
        nursery.start_soon(_show_others, errands, node, tell, peer, count - 1)


async def _show_others(errands: Errands, node: Responding, tell: Tell, peer: Role, count: int) -> None:
    while (used := await node.pairing_over(SHOWS[node.role][peer])) or errands.renews:
        if used and count == 0:
            return
        count -= used
        _show_code(errands, node, peer)
    name = peer.name.lower()
    tell(f"the linking code for a {name} has ended, and nobody has used it: start again with --pair {name}")


def _show_code(errands: Errands, node: Responding, peer: Role) -> None:
    errands.on_code(peer, node.open_pairing(SHOWS[node.role][peer]), node.key_id())


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


async def paired_with(peers: PeerDirectory, role: Role) -> list[PeerRecord]:
    """Return the devices of a role that are trusted."""
    return [each for each in await peers.all() if each.role is role and each.state is not PeerState.REVOKED]


async def one_or_none(peers: PeerDirectory, role: Role) -> PeerRecord | None:
    found = await paired_with(peers, role)
    if len(found) > 1:
        name = role.name.lower()
        raise ConfigError(f"this node is paired with {len(found)} devices of role {name}: forget all but one")
    return found[0] if found else None
