"""Roles with relays: neighbours on their links, and links of their own that run over those (specs/5-relay.md)."""

from functools import partial
from typing import ClassVar, Final

import trio

from nodes.initiating import Initiating, Way
from nodes.link import Link
from nodes.node import Node
from nodes.relay import LinkHop, RelayStation
from nodes.responding import Responding
from nodes.runner import Pump
from protocols.crypto.fingerprint import key_id_of
from protocols.link.config import over_relay
from protocols.link.peers import PeerRecord
from protocols.pairing import LinkingCode
from specs.registry import CloseCode, LinkType

_GOODBYE_S: Final = 1.0


class Relaying(Node):
    """Base of every role that has neighbours: a link with a relay channel makes its peer one, unseen by its user."""

    async def _begin(self) -> None:
        await super()._begin()
        own = [key_id_of(dh, key.public) for dh, key in self.identity.keys.items()]
        self._relays = RelayStation(own, entropy=self._entropy)

    @property
    def relays(self) -> RelayStation:
        """Neighbours and flows; only inside of the block."""
        return self._relays

    def _on_link(self, pump: Pump, link: Link) -> None:
        if link.has_relay:
            self._relays.attach(LinkHop(link))
        super()._on_link(pump, link)

    async def _goodbye(self) -> None:
        """Say it on links over relays first: what carries them must still be there."""
        inner = [link for link in tuple(self.links.values()) if not link.has_relay]
        outer = [link for link in tuple(self.links.values()) if link.has_relay]
        if inner:
            with trio.move_on_after(_GOODBYE_S, shield=True):
                async with trio.open_nursery() as nursery:
                    for link in inner:
                        nursery.start_soon(link.close, CloseCode.GOING_AWAY)
                for link in outer:
                    await link.flush()
        await super()._goodbye()

    async def revoke(self, key_id: bytes) -> None:
        """As :meth:`Node.revoke`; nothing is relayed for the device any more either."""
        self._relays.detach(key_id)
        await super().revoke(key_id)


class RemoteResponding(Relaying, Responding):
    """Base of the role at the far end of relays: the drone."""

    remotes: ClassVar[tuple[LinkType, ...]]
    """Link types that come over relays."""

    def listen_over_relays(self) -> None:
        """Take links that come over relays, from neighbours that are there and that will be; once."""
        for link_type in self.remotes:
            self._listen_on(self._relays.responder(link_type), over_relay(self.config, link_type))


class RemoteInitiating(Relaying, Initiating):
    """Base of the roles that go to a drone over relays. Relay and drone are named by their key ids."""

    remote: ClassVar[LinkType]
    """The link type over relays."""

    async def pair_over(self, relay: bytes, code: LinkingCode, destination: bytes) -> PeerRecord:
        """Pair with the device that shows ``code``, through the neighbour ``relay``.

        ``destination`` is the key id that the relay knows the device by; whether it is that device, the code proves.
        Errors of :meth:`pair`, FlowRefusedError.
        """
        return await self._pair(code, self._over(relay, destination))

    async def connect_over(self, relay: bytes, key_id: bytes) -> Link:
        """Make a link to a paired device through the neighbour ``relay``.

        Errors of :meth:`connect`, FlowRefusedError.
        """
        return await self._connect(key_id, self._over(relay, key_id))

    def _over(self, relay: bytes, destination: bytes) -> Way:
        opener = partial(self._relays.towards, relay, destination, self.remote)
        return Way(opener, over_relay(self.config, self.remote), f"the device {destination.hex()[:8]} behind the relay")
